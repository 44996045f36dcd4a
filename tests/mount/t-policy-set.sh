#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace policy: settings are shown with their source, change the running pool and the file, and
# what is refused changes neither.
. "$(dirname "$0")/lib.sh"

source_of() { # KEY: "VALUE SOURCE"
	terrace policy --json "$M" | jq -er --arg key "$1" '.settings[] | select(.key == $key) | .value + " " + .source'
}

shows() { # KEY VALUE-AND-SOURCE
	[ "$(source_of "$1")" = "$2" ] || fail "$1 is '$(source_of "$1")' instead of '$2'"
}

pool_new
sed -i '1i # a comment of mine' "$POOL"
chmod 600 "$POOL"
pool_mount
shows run_interval "1min default"
shows ssd.codec "lz4:1 file"
terrace policy "$M" | grep -qE '^run_interval +1min +default +1min +now' || fail "$(terrace policy "$M")"
terrace policy show "$M" | grep -qE '^ssd.frame .* at the next mount' || fail "$(terrace policy "$M")"
terrace policy "$M" | grep -q '^No rules' || fail "rules: $(terrace policy "$M")"

# the running pool and the file, with all that stood in it
cp "$POOL" "$T/before"
terrace policy set run_interval=10s ssd.high=95% ssd.low=90% ram.size=48M "$M"
shows run_interval "10s file"
shows ssd.high "95% file"
[ "$(stats '.tiers[0].size')" = $((48 << 20)) ] || fail "the RAM tier has $(stats '.tiers[0].size')"
diff "$T/before" "$POOL" >"$T/diff" || true
[ "$(grep -c '^[<>]' "$T/diff")" = 5 ] || fail "more was changed: $(cat "$T/diff")"
[ "$(stat -c %a "$POOL")" = 600 ] || fail "mode $(stat -c %a "$POOL")"
[ "$(find "$T" -maxdepth 1 -name 'pool.conf*' | wc -l)" = 1 ] || fail "something was left: $(ls "$T")"

# until the next mount only; and a dry run does nothing
terrace policy set --runtime run_interval=20s "$M"
shows run_interval "20s run time"
grep -q '^run_interval = 10s' "$POOL" || fail "--runtime changed the file"
terrace policy set --dry-run run_interval=30s "$M"
terrace policy set --dry-run --json run_interval=30s "$M" | jq -e '.dry_run and (.done | not)' >/dev/null || fail "a dry run is done"
shows run_interval "20s run time"

# what is refused: one line, nothing changed
cp "$POOL" "$T/before"
refused 1 "'speed' is no setting" terrace policy set speed=1 "$M"
refused 1 'should be a percentage' terrace policy set run_interval=1h ssd.high=101% "$M"
refused 1 'low .* should be below high .*: set both' terrace policy set ssd.high=50% "$M"
refused 1 'threads cannot change while the pool is mounted' terrace policy set threads=3 "$M"
refused 1 'terrace config' terrace policy set "ssd.path=$T/ssd" "$M"
refused 1 'should be' terrace policy set move_window=noon "$M"
refused 2 'given twice' terrace policy set run_interval=1 run_interval=2 "$M"
refused 2 'KEY=VALUE' terrace policy set "$M"
cmp "$T/before" "$POOL"
shows run_interval "20s run time"

# a script needs no command
exec 3<>"$M/.terrace/policy"
printf '{"set":{"promote_window":"3min"}}' >&3
[ "$(cat <&3)" = '{"done":true}' ] || fail "no reply"
exec 3>&-
shows promote_window "3min file"

# a directory that came while mounted is no news to a reload; an edited setting counts
mkdir "$T/hdd2"
terrace config add hdd "$T/hdd2" "$M" >/dev/null
sed -i 's/^run_interval = .*/run_interval = 40s/' "$POOL"
terrace policy reload "$M"
shows run_interval "40s file"
if grep -q 'path.*counts from the next mount' "$LOG"; then fail "$(grep 'next mount' "$LOG")"; fi
terrace policy set run_interval=10s "$M" >/dev/null

# others may look, and not touch
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
	nobody cat "$M/.terrace/policy" >/dev/null || fail "others cannot read the settings"
	if nobody sh -c 'echo "{}" >"$1"' sh "$M/.terrace/policy" 2>/dev/null; then fail "anybody may write"; fi
	if nobody cat "$M/.terrace/pins" 2>/dev/null; then fail "anybody may read everybody's names"; fi
fi
pool_remount
shows run_interval "10s file"
shows ssd.low "90% file"
shows ssd.high "95% file"
pool_umount

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rules of the configuration: new data goes where they say, what is elsewhere is moved there, the
# first that fits counts, settings go before them, and SIGHUP brings other rules.
. "$(dirname "$0")/lib.sh"

is_on() { # TIER PATH
	[ "$(attribute tier "$2")" = "$1" ] || fail "$2 is on $(attribute tier "$2") instead of $1"
}

pool_new
cat >>"$POOL" <<'END'
[rule keep]
match = /photos/best/
[rule raw]
match = /photos/**/*.raw
match = *.iso
tier = hdd
codec = zstd:7
[rule not-on-ssd]
owner = 1234
never = ssd
[rule large]
min_size = 1M
tier = hdd
END
pool_mount
mkdir -p "$M/photos/best" "$M/photos/2020"
for f in photos/best/a.raw photos/2020/b.raw photos/2020/b.jpg deep.iso small; do
	seq 1 5000 >"$M/$f"
done
seq 1 300000 >"$M/large"
install -m 644 /dev/null "$M/his"
chown 1234 "$M/his"
seq 1 5000 >"$M/his"
terrace sync "$M"
is_on ssd "$M/photos/best/a.raw"
is_on hdd "$M/photos/2020/b.raw"
is_on ssd "$M/photos/2020/b.jpg"
is_on hdd "$M/deep.iso"
is_on hdd "$M/his"
is_on hdd "$M/large"
is_on ssd "$M/small"
attribute extents "$M/deep.iso" | grep -q 'zstd:7' || fail "codec of the rule: $(attribute extents "$M/deep.iso")"
[ "$(attribute effective.rule "$M/deep.iso")" = "raw $POOL" ] || fail "$(attribute effective.rule "$M/deep.iso")"
[ "$(attribute effective.tier "$M/deep.iso")" = "hdd rule raw" ] || fail "$(attribute effective.tier "$M/deep.iso")"
[ "$(attribute effective.rule "$M/small")" = "none default" ] || fail "$(attribute effective.rule "$M/small")"

# a new name, and a pin, count at once
mv "$M/photos/2020/b.jpg" "$M/photos/2020/c.raw"
terrace run "$M" >/dev/null || [ $? -eq 3 ]
is_on hdd "$M/photos/2020/c.raw"
terrace pin ssd "$M/photos/2020/c.raw" >/dev/null
is_on ssd "$M/photos/2020/c.raw"
terrace run "$M" >/dev/null || [ $? -eq 3 ]
is_on ssd "$M/photos/2020/c.raw"

# other rules, while mounted: what they want is done by the engine
sed -i -e '/^\[rule keep\]/,$d' "$POOL"
printf '[rule small]\nmax_size = 100K\ntier = hdd\n[rule later]\nmatch = /large\ntier = ssd\n' >>"$POOL"
kill -HUP "$PID"
for _ in $(seq 1 100); do
	grep -q "$POOL: read again" "$LOG" && break
	sleep 0.1
done
terrace run "$M" >/dev/null || [ $? -eq 3 ]
is_on hdd "$M/small"
is_on ssd "$M/large"
is_on ssd "$M/photos/2020/c.raw"
seq 1 300000 | cmp - "$M/large"

# a mistake changes nothing, says where it is, and keeps the next mount from starting with it
echo 'tier = nowhere' >>"$POOL"
kill -HUP "$PID"
for _ in $(seq 1 100); do
	grep -q 'the settings stay as they are' "$LOG" && break
	sleep 0.1
done
grep -qE "pool.conf:[0-9]+: tier is set twice.*stay as they are" "$LOG" || fail "no word about the mistake: $(tail -n 3 "$LOG")"
[ "$(attribute effective.rule "$M/small")" = "small $POOL" ] || fail "$(attribute effective.rule "$M/small")"
refused 1 'pool.conf:[0-9]+: tier' terrace policy reload "$M"
sed -i '$d' "$POOL"
pool_remount
[ "$(attribute effective.rule "$M/small")" = "small $POOL" ] || fail "after the mount: $(attribute effective.rule "$M/small")"
pool_umount

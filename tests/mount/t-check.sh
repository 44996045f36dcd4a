#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace check: silent on a healthy pool, mounted or not, also after kill -9; names what is damaged;
# a repair mends it; exit codes as of fsck(8).
. "$(dirname "$0")/lib.sh"

# check CODE ARGUMENTS...: ends with that code; what it says is in $T/said.
check() {
	local want=$1 status=0
	shift
	terrace check "$@" >"$T/said" 2>&1 || status=$?
	[ "$status" -eq "$want" ] || fail "check $* ended with $status instead of $want: $(cat "$T/said")"
}

pool_new
check 0 "$POOL"
pool_mount
cp -a /usr/include/linux "$M/"
mkdir "$M/folder"
head -c 300K /dev/urandom >"$T/content"
cp "$T/content" "$M/folder/big file"
ln "$M/folder/big file" "$M/other name"
setfattr -n user.colour -v blue "$M/folder"
terrace pin hdd "$M/folder/big file" >/dev/null
terrace sync "$M"
rm -r "$M/linux/netfilter"
check 0 "$M"
grep -q 'as of the last checkpoint.* .terrace damaged' "$T/said" || fail "$(cat "$T/said")"
check 8 --repair "$M"
grep -q 'unmount it first' "$T/said" || fail "$(cat "$T/said")"
pool_kill
check 0 "$POOL"
grep -q 'not closed in order' "$T/said" || fail "$(cat "$T/said")"
check 0 --deep "$POOL"
pool_mount
cmp "$T/content" "$M/other name"
pool_umount
check 0 --deep --json "$POOL"
jq -e '.exit == 0 and .found == 0 and .bytes > 300000 and .problems == []' "$T/said" >/dev/null
refused 16 'something is missing' terrace check
refused 16 'unknown option' terrace check --guess "$POOL"
refused 8 'nowhere' terrace check "$T/nowhere.conf"

mv "$T/hdd" "$T/away"
check 4 "$POOL"
grep -qE '^C021 .*No such file or directory' "$T/said" || fail "$(cat "$T/said")"
mv "$T/away" "$T/hdd"

# a segment's file is gone: people know tiers and folders by name
segment=$(find "$T/ssd/segments" -name '*.seg' -size +100k | head -n 1)
mv "$segment" "$T/away"
check 4 "$POOL"
grep -qE "^C308 .*\(tier ssd, $T/ssd, .* check --deep. names the files" "$T/said" || fail "$(cat "$T/said")"
check 4 --deep "$POOL"
grep -qE '^C(209|210) /' "$T/said" || fail "$(cat "$T/said")"
mv "$T/away" "$segment"
check 0 "$POOL"

# a label is gone, and a byte of the big file
rm "$T/ssd/terrace.tier"
# shellcheck disable=SC2046 # names without blanks
python3 - "$T/content" $(find "$T/ssd/segments" "$T/hdd/segments" -type f) <<'PY'
import sys
part = open(sys.argv[1], "rb").read()[100000:100064]
for path in sys.argv[2:]:
    with open(path, "r+b") as f:
        where = f.read().find(part)
        if where >= 0:
            f.seek(where)
            f.write(b"damage")
            sys.exit(0)
sys.exit("the bytes are in no segment")
PY
check 4 --deep --json "$POOL"
jq -e '[.problems[].code] | contains(["C022", "C210"])' "$T/said" >/dev/null || fail "$(cat "$T/said")"
jq -e '.problems[] | select(.code == "C210") | .where == "/other name" or .where == "/folder/big file"' \
	"$T/said" >/dev/null || fail "$(cat "$T/said")"
check 4 --repair --dry-run "$POOL"
[ ! -e "$T/ssd/terrace.tier" ] || fail "a dry run wrote the label"
check 1 --repair "$POOL"
check 0 "$POOL"
check 4 --deep --repair "$POOL"
pool_mount
if cat "$M/other name" >/dev/null 2>&1; then fail "damaged bytes were returned"; fi
rm "$M/other name" "$M/folder/big file"
cp "$T/content" "$M/other name"
diff -r --no-dereference -x netfilter /usr/include/linux "$M/linux"
pool_umount
check 0 --deep "$POOL"

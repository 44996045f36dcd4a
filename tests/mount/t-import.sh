#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace import takes a tree in with all it carries, goes on where it was stopped, copies nothing
# twice, and says which files it could not take.
# flavors: asan
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root: owners and devices"
pool_new
pool_mount
S=$T/source
import() { terrace import --progress=off "$@"; }
json() { import --json "$S" "$M/in" | jq -er "$1"; }
make_tree "$S"
setfacl -m u:1234:rw,m::rw "$S/odd/size-1"
setfacl -d -m u:99:rwx "$S/locked"
setfattr -n security.note -v kept "$S/odd/random"
setfattr -h -n trusted.link -v kept "$S/odd/soft"
dd if=/dev/urandom of="$S/odd/islands" bs=64K count=1 seek=1000 status=none
truncate -s 200M "$S/odd/islands"
mkdir -p "$S/deep$(printf '/%s' {a..z} {a..z} {a..z})"
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$S/odd/socket"
setfattr -n user.folder -v top "$S"
chmod 2751 "$S"
touch -d '2011-11-11 11:11:11.111111111' "$S"

# a dry run changes nothing
import --dry-run "$S" "$M/in" | grep -q 'to be copied' || fail "the dry run says nothing"
[ ! -e "$M/in" ] || fail "the dry run has made something"

import "$S" "$M/in" >"$T/said"
grep -qE '^[0-9]+ files .* copied and read back' "$T/said" || fail "said: $(cat "$T/said")"
same_tree "$S" "$M/in"
[ "$(stat -c '%a %y' "$M/in")" = "$(stat -c '%a %y' "$S")" ] || fail "the folder itself"
[ "$(getfattr --only-values -n user.folder "$M/in" 2>/dev/null)" = top ] || fail "its attributes"
[ "$(getfattr -h --only-values -n trusted.link "$M/in/odd/soft" 2>/dev/null)" = kept ] || fail "a link's attributes"
[ "$(stat -c %b "$M/in/odd/islands")" -lt 2000 ] || fail "holes were filled"
[ "$(stat -c '%t %T' "$M/in/odd/null")" = '1 3' ] || fail "a device"
[ -S "$M/in/odd/socket" ] && [ -p "$M/in/odd/fifo" ] || fail "special files"

# again: nothing to do; and what has changed, only that
code=0
import "$S" "$M/in" >"$T/said" || code=$?
[ "$code" -eq 3 ] || fail "exit code $code when all is there: $(cat "$T/said")"
inode=$(stat -c %i "$M/in/odd/random")
echo more >>"$S/odd/size-4096"
chown 5:6 "$S/odd/size-4095"
setfattr -x user.binary "$S/odd/size-0"
mv "$S/odd/size-0" "$S/odd/size-none"
rm "$S/locked/hard-2" && ln "$S/odd/size-4097" "$S/locked/hard-2"
ln -sfn elsewhere "$S/odd/dangling"
touch -d '2001-01-01' "$S/odd"
out=$(import --json "$S" "$M/in")
jq -e '.copied <= 4 and .linked == 1 and .failed == 0 and .errors == [] and .attributes > 0' <<<"$out" >/dev/null || fail "after changes: $out"
rm "$M/in/odd/size-0" && touch -d '2001-01-01' "$M/in/odd"
same_tree "$S" "$M/in"
[ "$(stat -c %i "$M/in/odd/random")" = "$inode" ] || fail "an unchanged file was copied again"

# same size and time, other bytes
printf Y | dd of="$M/in/odd/size-131073" bs=1 seek=77 conv=notrunc status=none
touch -r "$S/odd/size-131073" "$M/in/odd/size-131073"
[ "$(json .copied || true)" = 0 ] || fail "copied without --checksum"
[ "$(import --checksum --json "$S" "$M/in" | jq .copied)" = 1 ] || fail "not found by --checksum"
same_tree "$S" "$M/in"

# one bad file: named, the rest goes on
mkdir "$M/in/odd/in-the-way"
echo x >"$S/odd/in-the-way"
echo x >"$S/zz-last"
echo x >"$S/.terrace-import~"
code=0
import "$S" "$M/in" >"$T/said" 2>&1 || code=$?
[ "$code" -eq 1 ] && grep -q 'odd/in-the-way: a folder is in its place' "$T/said" || fail "exit code $code: $(cat "$T/said")"
grep -q '2 could not be imported' "$T/said" || fail "count: $(cat "$T/said")"
[ -f "$M/in/zz-last" ] || fail "the rest did not go on"
rm "$S/odd/in-the-way" "$S/zz-last" "$S/.terrace-import~"
rm -r "$M/in"

# a file whose first name cannot be made: the other names are one file all the same
mkdir -p "$T/names/free" "$M/names" # which folder is read first is not known: nearly all are blocked
echo x >"$T/names/free/1"
ln "$T/names/free/1" "$T/names/free/2"
for i in {1..20}; do
	mkdir -p "$T/names/$i" "$M/names/$i/.terrace-import~"
	ln "$T/names/free/1" "$T/names/$i/name"
done
! import "$T/names" "$M/names" >"$T/said" 2>&1 || fail "nothing failed"
[ "$(stat -c %h "$M/names/free/1")" -eq 2 ] || fail "links were lost: $(ls -li "$M/names/free")"

# a file that changes all the time is told, and not taken half
head -c 400000 /dev/urandom >"$S/log"
python3 "$ROOT/tests/mount/restless.py" "$S/log" >"$T/ready" &
restless=$!
until [ -s "$T/ready" ]; do kill -0 "$restless" || fail "no fanotify"; sleep 0.02; done
code=0
import "$S" "$M/in" >"$T/said" 2>&1 || code=$?
kill "$restless"
wait "$restless" 2>/dev/null || true
[ "$code" -eq 1 ] && grep -q 'log: changes while it is copied' "$T/said" || fail "exit code $code: $(cat "$T/said")"
[ ! -e "$M/in/log" ] || fail "half a file is there"

# stopped by Ctrl-C, killed, and gone on with; durable when it says done
head -c 60000000 /dev/urandom >"$S/big"
rm -r "$M/in"
started() { # waits, without a sleep, until it has copied something
	importer=$!
	until compgen -G "$M/in/[!.]*" >/dev/null; do kill -0 "$importer" || fail "it ended"; done
}
terrace import --progress=off "$S" "$M/in" >"$T/said" 2>&1 &
started
kill -TERM "$importer"
code=0
wait "$importer" || code=$?
[ "$code" -eq 1 ] && grep -q 'the same command goes on' "$T/said" || fail "exit code $code: $(cat "$T/said")"
[ -z "$(find "$M/in" -name '.terrace-import~')" ] || fail "something is left over"
terrace import --progress=off "$S" "$M/in" >"$T/said" 2>&1 &
started
kill -9 "$importer"
wait "$importer" 2>/dev/null || true
find "$M/in" ! -name '.terrace-import~' ! -type d | wc -l >"$T/there"
out=$(import --json "$S" "$M/in")
pool_power_loss
pool_mount
same_tree "$S" "$M/in" # nothing is left over, either
[ "$(jq '.same + .attributes' <<<"$out")" -ge "$(cat "$T/there")" ] || fail "copied again: $out"

# what does not read back as it was written is not taken
if command -v strace >/dev/null; then
	mkdir "$T/small"
	head -c 100000 /dev/urandom >"$T/small/file"
	code=0
	ASAN_OPTIONS=detect_leaks=0 strace -o "$T/trace" -e inject=pwrite64:retval=100000:when=1 \
		terrace import --progress=off "$T/small" "$M/small" >"$T/said" 2>&1 || code=$?
	[ "$code" -eq 1 ] && grep -q 'file: reads back other bytes' "$T/said" || fail "exit code $code: $(cat "$T/said")"
	[ -z "$(ls -A "$M/small")" ] || fail "a file that was not written has its name"
fi

# not into itself, not elsewhere
import "$M/in/odd" "$M/in/odd/copy" >"$T/said"
[ ! -e "$M/in/odd/copy/copy" ] || fail "imported into itself"
refused 1 'no Terrace|not on|Terrace pool' terrace import "$S" "$T/elsewhere"
refused 1 'No such file' terrace import "$T/missing" "$M/x"
pool_umount

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# libterrace as it is installed: a program built against the header, by pkg-config, as C and as C++,
# with the shared library and with the static one. What it puts a mount shows, and the other way
# round; one owner at a time; what was put survives its death, what was synced the power's loss.
. "$(dirname "$0")/lib.sh"

cmake --install "$BUILD" --prefix "$T/usr" >"$T/install.log" || fail "$(tail -n 5 "$T/install.log")"
[ -e "$T/usr/share/man/man3/libterrace.3" ] || fail "no manual page"
pc=$(find "$T/usr" -name libterrace.pc)
export PKG_CONFIG_PATH=${pc%/*} LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(pkg-config --variable=libdir libterrace)
source=$ROOT/tests/api/objects.c
read -ra flags < <(pkg-config --cflags libterrace)
read -ra libs < <(pkg-config --libs libterrace)
read -ra private < <(pkg-config --static --libs libterrace)
flags+=(-Wall -Wextra -Werror -pedantic)
gcc "${flags[@]}" -std=c99 -D_POSIX_C_SOURCE=200809L -o "$T/objects" "$source" "${libs[@]}"
g++ "${flags[@]}" -std=c++11 -x c++ -o "$T/objects++" "$source" -x none "${libs[@]}"
readelf -d "$T/objects" | grep -q 'NEEDED.*\[libterrace.so.0\]' || fail "no soname"
gcc "${flags[@]}" -o "$T/objects-static" "$source" "${private[@]/#-lterrace/-l:libterrace.a}"
! readelf -d "$T/objects-static" | grep -q libterrace || fail "not static"

pool_new
objects() { "$T/objects" "$POOL" "$@"; }
[ "$(objects get none 2>&1)" = "get: No such file or directory" ] || fail "$(objects get none 2>&1)"

id=$(objects put dir/a "from a program")
pool_mount
[ "$(cat "$M/dir/a")" = "from a program" ] || fail "$(cat "$M/dir/a")"
[ "$(stat -c '%i %a %s' "$M/dir/a")" = "$id 644 14" ] || fail "$(stat "$M/dir/a")"
echo "from the mount" >"$M/dir/b"
ln "$M/dir/a" "$M/dir/c"
status=0
said=$(objects get dir/a 2>&1) || status=$?
[ "$status" -eq 75 ] || fail "opened while mounted"
grep -q 'in use: another process' <<<"$said" || fail "$said"
pool_umount
[ "$("$T/objects++" "$POOL" get dir/b)" = "from the mount" ] || fail "$(objects get dir/b)"
[ "$("$T/objects-static" "$POOL" get dir/c)" = "from a program" ] || fail "$(objects get dir/c)"

# the other way round: no mount while a program has it
mkfifo "$T/in"
"$T/objects" "$POOL" hold <"$T/in" >"$T/out" &
program=$!
exec 3>"$T/in"
for _ in $(seq 1 100); do
	grep -q open "$T/out" && break
	sleep 0.1
done
status=0
terracefs -f "$POOL" "$M" >"$T/said" 2>&1 || status=$?
[ "$status" -eq 75 ] || fail "mounted while a program has it: $status"
exec 3>&-
wait "$program"

# killed
status=0
objects die dir/a "acknowledged" >/dev/null 2>&1 || status=$?
[ "$status" -eq 137 ] || fail "it ended with $status"
[ "$(objects get dir/a)" = "acknowledged" ] || fail "lost: $(objects get dir/a)"
# the power goes: what was synced is there, and the rest whole or not at all
objects sync dir/d "on the disks" >/dev/null
status=0
objects die dir/e "perhaps" >/dev/null 2>&1 || status=$?
[ "$status" -eq 137 ] || fail "it ended with $status"
find "$RAM" -mindepth 1 -delete
[ "$(objects get dir/d 2>/dev/null)" = "on the disks" ] || fail "lost: $(objects get dir/d 2>&1)"
left=$(objects get dir/e 2>/dev/null) || left=gone
[ "$left" = gone ] || [ "$left" = perhaps ] || fail "half of it: '$left'"
objects delete dir/d 2>/dev/null
terrace check "$POOL" >"$T/check" || fail "$(tail -n 5 "$T/check")"

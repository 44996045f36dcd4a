#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pins and codecs are set, inherited, shown with their source, obeyed, and outlive a mount.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir -p "$M/d/sub"
seq 1 100000 >"$M/d/sub/file"
seq 1 100000 >"$M/free"
# Before the pin, which moves the file at once: a codec counts for what is written or moved later.
setfattr -n user.terrace.codec -v lzma:6 "$M/d/sub"
terrace pin hdd "$M/d"
[ "$(attribute pin "$M/d")" = hdd ] || fail "pin: $(attribute pin "$M/d")"
[ "$(attribute effective.pin "$M/d/sub/file")" = "hdd /d" ] || fail "effective: $(attribute effective.pin "$M/d/sub/file")"
[ "$(attribute effective.codec "$M/d/sub/file")" = "lzma:6 /d/sub" ] || fail "effective: $(attribute effective.codec "$M/d/sub/file")"
terrace sync "$M"
terrace run "$M" >/dev/null || [ $? -eq 3 ]
[ "$(attribute tier "$M/d/sub/file")" = hdd ] || fail "pinned to hdd, is on $(attribute tier "$M/d/sub/file")"
attribute extents "$M/d/sub/file" | grep -q lzma || fail "codec not used: $(attribute extents "$M/d/sub/file")"
[ "$(attribute tier "$M/free")" != hdd ] || fail "an unpinned file went to hdd"
terrace pin ssd "$M/d/sub/file"
[ "$(attribute effective.pin "$M/d/sub/file")" = "ssd /d/sub/file" ] || fail "effective: $(attribute effective.pin "$M/d/sub/file")"
pool_kill
pool_mount
[ "$(attribute effective.pin "$M/d/sub/file")" = "ssd /d/sub/file" ] || fail "pin lost by kill -9"
terrace unpin "$M/d/sub/file"
[ "$(attribute effective.pin "$M/d/sub/file")" = "hdd /d" ] || fail "unpin: $(attribute effective.pin "$M/d/sub/file")"
pool_remount
mv "$M/d/sub/file" "$M/moved"
[[ "$(attribute effective.pin "$M/moved" || echo none)" != *"/d" ]] || fail "moved out, still pinned by its old folder"
seq 1 100000 | cmp - "$M/moved"
status=0
terrace pin nowhere "$M/d" 2>"$T/err" || status=$?
[ "$status" -ne 0 ] && [ "$(wc -l <"$T/err")" = 1 ] || fail "a tier that does not exist: $status, $(cat "$T/err")"
pool_umount

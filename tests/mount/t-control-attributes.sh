#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# user.terrace.*: readable by name, not listed, the right errors.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$M/d"
seq 1 100000 >"$M/d/file"
setfattr -n user.own -v 1 "$M/d/file"
[ "$(attribute tier "$M/d/file")" = ram ] || [ "$(attribute tier "$M/d/file")" = ssd ] || fail "tier: $(attribute tier "$M/d/file")"
terrace demote --to hdd "$M/d" >/dev/null
[ "$(attribute tier "$M/d/file")" = hdd ] || fail "tier: $(attribute tier "$M/d/file")"
[[ "$(attribute tiers "$M/d/file")" == *hdd=588895* ]] || fail "tiers: $(attribute tiers "$M/d/file")"
[[ "$(attribute extents "$M/d/file" | head -n 1)" =~ ^0\ [0-9]+\ hdd\ zstd ]] || fail "extents: $(attribute extents "$M/d/file")"
[ "$(attribute extents "$M/d/file" | awk '{ n += $2 } END { print n }')" = 588895 ] || fail "extents do not cover the file"
[[ "$(attribute ratio "$M/d/file")" =~ ^[0-9]+\.[0-9]{2}$ ]] || fail "ratio: $(attribute ratio "$M/d/file")"
[ "$(attribute stored "$M/d/file")" -gt 10000 ] && [ "$(attribute stored "$M/d/file")" -lt 300000 ] || fail "stored: $(attribute stored "$M/d/file")"
[ -n "$(attribute heat "$M/d/file")" ] || fail "no heat"
[ "$(getfattr -d -m - "$M/d/file" 2>/dev/null | grep -c =)" = 1 ] || fail "listed: $(getfattr -d -m - "$M/d/file")"

errno_of() { # CALL: the errno's name of one call of os.*
	python3 -c 'import errno, os, sys
try:
    eval(sys.argv[1])
    print("none")
except OSError as e:
    print(errno.errorcode[e.errno])' "$1"
}
expect() {
	local got
	got=$(errno_of "$2")
	[ "$got" = "$1" ] || fail "$2: $got instead of $1"
}
f="'$M/d/file'"
expect ENODATA "os.getxattr($f, 'user.terrace.unknown')"
expect EINVAL "os.setxattr($f, 'user.terrace.unknown', b'1')"
for name in tier tiers extents ratio stored heat effective.pin effective.codec; do
	expect EROFS "os.setxattr($f, 'user.terrace.$name', b'1')"
	expect EROFS "os.removexattr($f, 'user.terrace.$name')"
done
expect ENODATA "os.getxattr($f, 'user.terrace.pin')"
expect ENODATA "os.getxattr($f, 'user.terrace.codec')"
expect ENODATA "os.removexattr($f, 'user.terrace.pin')"
for bad in nowhere '' 'ssd ' hdd,ssd; do expect EINVAL "os.setxattr($f, 'user.terrace.pin', b'$bad')"; done
for bad in zip zstd:99 zstd: lzma:11 '' 'lz4 '; do expect EINVAL "os.setxattr($f, 'user.terrace.codec', b'$bad')"; done
for good in none lz4 zstd:12 zstd:-5 lzma:9; do expect none "os.setxattr($f, 'user.terrace.codec', b'$good')"; done
expect none "os.removexattr($f, 'user.terrace.codec')"
pool_umount

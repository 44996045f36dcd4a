#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Others may use root's mount, within their rights, unless it says no_allow_other.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
command -v setpriv >/dev/null || skip "needs setpriv"
pool_new
pool_mount
as() { # UID GID GROUPS COMMAND...
	local ids=(--reuid "$1" --regid "$2")
	if [ "$3" = - ]; then ids+=(--clear-groups); else ids+=(--groups "$3"); fi
	shift 3
	setpriv "${ids[@]}" sh -c "$1" 2>/dev/null
}
chmod 755 "$M"
install -d -m 2770 -g 3000 "$M/team"
echo secret >"$M/team/file" && chmod 640 "$M/team/file"
as 1001 1001 - "ls $M" >/dev/null || fail "another user may not list an open folder"
! as 1001 1001 - "ls $M/team" >/dev/null || fail "nor should he list a closed one"
as 1001 1001 2000,3000 "cat $M/team/file" >/dev/null || fail "a supplementary group does not count"
! as 1001 1001 2000,3000 "echo x >>$M/team/file" || fail "written without the right"
as 1001 1001 3000 "echo x >$M/team/mine" || fail "a member may not make a file"
[ "$(stat -c '%u %g' "$M/team/mine")" = '1001 3000' ] || fail "owner: $(stat -c '%u %g' "$M/team/mine")"
many=3000$(printf ',%s' {5000..5299}) # more groups than one request asks for
as 1001 1001 "$many" "cat $M/team/file" >/dev/null || fail "one of 301 groups does not count"
echo x >"$M/sgid" && chown 1001:9000 "$M/sgid" && chmod 2755 "$M/sgid"
as 1001 1001 "$many,9000" "setfacl -m u:5:r $M/sgid" # its last group
[ "$(stat -c %a "$M/sgid")" = 2755 ] || fail "an ACL by a member takes sgid: $(stat -c %a "$M/sgid")"
pool_umount
MOUNT_OPTIONS='-o no_allow_other'
pool_mount
! as 1001 1001 - "ls $M" >/dev/null || fail "let in with no_allow_other"
ls "$M/team" >/dev/null || fail "its own user is not"
pool_umount
MOUNT_OPTIONS='-o ro'
pool_mount
! echo x 2>/dev/null >"$M/new" || fail "written with ro"
before=$(stat -c %x "$M/team/file")
cat "$M/team/file" >/dev/null
[ "$(stat -c %x "$M/team/file")" = "$before" ] || fail "a read changed something with ro"
pool_umount

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tar in and out with ACLs and extended attributes.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
make_tree "$T/tree"
setfacl -m u:1234:rwx,g:4321:r,m::rw "$T/tree/odd/size-4096"
setfacl -m d:u:1234:rx,u:99:- "$T/tree/locked"
setcap cap_net_raw+ep "$T/tree/real/program"
tar -C "$T/tree" --acls --xattrs --xattrs-include='*' -cf "$T/in.tar" .
tar -C "$M" --acls --xattrs --xattrs-include='*' -xpf "$T/in.tar"
same_tree "$T/tree" "$M"
pool_remount
same_tree "$T/tree" "$M"
tar -C "$M" --acls --xattrs --xattrs-include='*' -cf "$T/out.tar" .
mkdir "$T/out"
tar -C "$T/out" --acls --xattrs --xattrs-include='*' -xpf "$T/out.tar"
same_tree "$T/tree" "$T/out"
if getfattr -R -d -m 'user.terrace' "$T/out" 2>/dev/null | grep -q .; then fail "control attributes were copied"; fi
touch "$M/locked/heir" # the default ACL is inherited
getfacl -cn "$M/locked/heir" | grep -q '^user:1234:r-x' || fail "default ACL not inherited"
# and it is obeyed
echo text >"$M/locked/readable"
chmod 755 "$M/locked"
chmod 600 "$M/locked/readable"
setfacl -m u:65534:r "$M/locked/readable"
setpriv --reuid 65534 --regid 65534 --clear-groups cat "$M/locked/readable" >/dev/null
pool_umount

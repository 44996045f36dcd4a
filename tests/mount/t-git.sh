#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# git: commit, clone, fsck, gc on the mount.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git() { command git -c user.name=t -c user.email=t@example.org -c init.defaultBranch=main -c safe.directory='*' "$@"; }
git init -q "$M/origin"
cp -a /usr/include/linux "$M/origin/"
git -C "$M/origin" add .
git -C "$M/origin" commit -qm one
git clone -q --no-local "$M/origin" "$M/clone"
git -C "$M/clone" fsck --full --strict >/dev/null
diff -r --exclude=.git /usr/include/linux "$M/clone/linux"
[ -z "$(git -C "$M/clone" status --porcelain)" ] || fail "changes after a clone"
git -C "$M/origin" rm -qr linux/netfilter
git -C "$M/origin" commit -qm two
git -C "$M/clone" pull -q
git -C "$M/origin" gc -q
pool_remount
git -C "$M/origin" fsck --full --strict >/dev/null
[ -z "$(git -C "$M/clone" status --porcelain)" ] || fail "changes after a mount"
pool_umount

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A tree with some of everything comes back after unmount and mount.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
make_tree "$T/tree"
cp -a "$T/tree/." "$M/"
same_tree "$T/tree" "$M"
pool_remount
same_tree "$T/tree" "$M"
pool_remount
same_tree "$T/tree" "$M"

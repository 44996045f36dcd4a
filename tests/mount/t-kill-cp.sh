#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 in the middle of cp -a: every file that cp had closed is identical.
. "$(dirname "$0")/lib.sh"

# shellcheck source=tests/mount/killcp.sh
. "$(dirname "$0")/killcp.sh"

pool_new
mkdir "$T/source"
cp -a /usr/include/linux /usr/include/c++ "$T/source/" 2>/dev/null || cp -a /usr/include/linux "$T/source/"
for round in 1 2 3; do
	kill_cp_round "$T/source" "$round" "0.$((RANDOM % 8 + 1))$((RANDOM % 10))"
done

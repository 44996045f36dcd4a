# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A pool whose last 30 steps are in the journal alone (no checkpoint, power lost after the last
# sync), for the tests that damage the journal. Needs lib.sh.

journal_pool() {
	local i
	pool_new
	config_set checkpoint_interval 1h
	pool_mount
	for i in $(seq 1 30); do
		mkdir "$M/step-$i"
		seq "$i" $((i + 5000)) >"$M/step-$i/file"
		terrace sync "$M"
	done
	pool_power_loss
}

journal_check() { # STEP
	seq "$1" $(($1 + 5000)) | cmp - "$M/step-$1/file" || fail "step $1 was lost"
}

# The journal's file with the newest records.
journal_file() {
	find "$T/ssd/meta" -type f -name '*journal*' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-
}

# Where its records end (it may be longer: room taken in advance).
journal_end() {
	python3 -c 'import sys; print(len(open(sys.argv[1], "rb").read().rstrip(b"\0")))' "$(journal_file)"
}

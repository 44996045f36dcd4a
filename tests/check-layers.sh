#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Includes may only point downwards: compress <- tiers <- fs <- tools and lib (libterrace, beside
# tools: neither knows the other), and FUSE headers appear only in fs/fuse_*.c (the adapters) and the
# mount's main.c. The installed header knows nothing of ours.
set -u
cd "$(dirname "$0")/.." || exit 2
bad=$(
	grep -nE '#include "(tiers|fs|tools|lib|tests)/' compress/*.[ch]
	grep -nE '#include "(fs|tools|lib|tests)/' tiers/*.[ch] tiers/*/*.[ch]
	grep -nE '#include "(tools|lib|tests)/' fs/*.[ch]
	grep -nE '#include "(tools|tests)/' lib/*.[ch]
	grep -nE '#include "' lib/terrace.h
	grep -rnE '#include "(lib|tests)/' tools --include='*.[ch]'
	grep -lE '#include <fuse|#include <linux/fuse' compress/*.[ch] tiers/*.[ch] tiers/*/*.[ch] lib/*.[ch]
	grep -lE '#include <fuse|#include <linux/fuse' fs/*.[ch] | grep -v '^fs/fuse_'
	grep -rlE '#include <fuse|#include <linux/fuse' tools --include='*.[ch]' | grep -v '^tools/terracefs/main.c'
)
if [ -n "$bad" ]; then
	printf 'includes against the layers compress <- tiers <- fs <- tools, lib:\n%s\n' "$bad"
	exit 1
fi

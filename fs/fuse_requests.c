// SPDX-License-Identifier: Apache-2.0
#include "fs/fuse_requests.h"

#include <linux/fuse.h>
#include <stdatomic.h>
#include <stddef.h>

#include "tiers/clock.h"
#include "tiers/latency.h"

static const char *const names[REQUEST_KINDS] = {
	[FUSE_LOOKUP] = "lookup",
	[FUSE_GETATTR] = "getattr",
	[FUSE_SETATTR] = "setattr",
	[FUSE_READLINK] = "readlink",
	[FUSE_SYMLINK] = "symlink",
	[FUSE_MKNOD] = "mknod",
	[FUSE_MKDIR] = "mkdir",
	[FUSE_UNLINK] = "unlink",
	[FUSE_RMDIR] = "rmdir",
	[FUSE_RENAME] = "rename",
	[FUSE_RENAME2] = "rename2",
	[FUSE_LINK] = "link",
	[FUSE_OPEN] = "open",
	[FUSE_READ] = "read",
	[FUSE_WRITE] = "write",
	[FUSE_STATFS] = "statfs",
	[FUSE_RELEASE] = "release",
	[FUSE_FSYNC] = "fsync",
	[FUSE_SETXATTR] = "setxattr",
	[FUSE_GETXATTR] = "getxattr",
	[FUSE_LISTXATTR] = "listxattr",
	[FUSE_REMOVEXATTR] = "removexattr",
	[FUSE_OPENDIR] = "opendir",
	[FUSE_READDIR] = "readdir",
	[FUSE_READDIRPLUS] = "readdirplus",
	[FUSE_FSYNCDIR] = "fsyncdir",
	[FUSE_CREATE] = "create",
	[FUSE_FALLOCATE] = "fallocate",
	[FUSE_LSEEK] = "lseek",
	[FUSE_COPY_FILE_RANGE] = "copy_file_range",
};

static struct {
	_Atomic uint64_t buckets[LATENCY_BUCKETS];
	_Atomic uint64_t sum_ns;
} kinds[REQUEST_KINDS];

static _Thread_local struct {
	uint64_t unique, begin_ns;
	uint32_t opcode;
} taken;

const char *requests_name(uint32_t opcode)
{
	return opcode < REQUEST_KINDS ? names[opcode] : NULL;
}

void requests_begin(uint32_t opcode, uint64_t unique)
{
	taken.unique = requests_name(opcode) ? unique : 0;
	taken.opcode = opcode;
	if (taken.unique)
		taken.begin_ns = clock_mono_ns();
}

void requests_end(uint64_t unique)
{
	uint64_t ns;

	if (!unique || unique != taken.unique)
		return;
	taken.unique = 0;
	ns = clock_mono_ns() - taken.begin_ns;
	atomic_fetch_add_explicit(&kinds[taken.opcode].buckets[latency_bucket_of(ns)], 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&kinds[taken.opcode].sum_ns, ns, memory_order_relaxed);
}

void requests_look(uint32_t opcode, struct latency_counts *out)
{
	*out = (struct latency_counts){.count = 0};
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		out->buckets[i] =
			atomic_load_explicit(&kinds[opcode].buckets[i], memory_order_relaxed);
		out->count += out->buckets[i];
	}
	out->sum_ns = atomic_load_explicit(&kinds[opcode].sum_ns, memory_order_relaxed);
}

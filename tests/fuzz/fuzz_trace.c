// SPDX-License-Identifier: Apache-2.0
/*
 * Any bytes as a trace for `terrace simulate`: an error with one line that says where, or a trace
 * whose accesses lie in its blocks, in order of time. The first byte chooses the format.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/terrace/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct trace *trace)
{
	uint32_t before = 0;

	for (size_t i = 0; i < trace->naccesses; i++) {
		const struct trace_access *access = &trace->accesses[i];

		assert(access->block < trace->nblocks && access->time_s >= before);
		assert((uint64_t)access->off + access->bytes <= trace->block_bytes);
		before = access->time_s;
	}
	for (uint32_t i = 0; i < trace->nblocks; i++) {
		assert(trace->blocks[i].object && trace->blocks[i].frame < trace->nframes);
		assert(trace->blocks[i].object_number < trace->nobjects);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_options options = {0};
	char why[256] = "", path[64];
	struct trace trace;
	int fd, rc;

	if (size < 1)
		return -1;
	options.format = (enum trace_format)(data[0] % TRACE_FORMATS);
	/* Large blocks: a request of 64 GiB in blocks of 4 KiB is right, and too long for a test.
	 */
	options.block_bytes = 1u << 28;
	fd = memfd_create("trace", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = trace_load(path, &options, &trace, why, sizeof(why));
	if (rc == 0) {
		check(&trace);
		trace_release(&trace);
	} else {
		assert(!strchr(why, '\n'));
	}
	close(fd);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recorded sequence of accesses, read whole from a file in one of the formats of terrace(1),
 * SIMULATION, and cut into blocks and frames with numbers from 0 without gaps. One thread.
 */
#ifndef TERRACE_TOOLS_TRACE_H
#define TERRACE_TOOLS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_FRAME_BYTES (128u << 10) /* what moves together, or one block if that is larger */
#define TRACE_BLOCK_MIN	  512u
#define TRACE_BLOCK_MAX	  (1u << 20)
#define TRACE_LENGTH_S	  86400u /* of a trace without times, unless told */

enum trace_format { TRACE_UNKNOWN, TRACE_TEXT, TRACE_IDS, TRACE_ARC, TRACE_CSV, TRACE_FORMATS };

struct trace_access { /* the part of a request that is in one block */
	uint32_t block;
	uint32_t time_s;     /* since the trace's begin; never falls */
	uint32_t off, bytes; /* of the block */
	bool write;
	bool first; /* of its request */
};

struct trace_block {
	uint64_t object; /* not 0 */
	uint64_t index;	 /* block_bytes each, in the object */
	uint32_t frame;
	uint32_t object_number;
};

struct trace {
	enum trace_format format;
	uint32_t block_bytes;
	struct trace_access *accesses;
	size_t naccesses, requests;
	struct trace_block *blocks;
	uint32_t nblocks, nframes, nobjects;
	uint32_t *frame_blocks; /* blocks in each frame */
	uint64_t bytes;		/* asked for by all requests */
	uint32_t length_s;
};

struct trace_options {
	enum trace_format format; /* TRACE_UNKNOWN: found by looking */
	uint32_t block_bytes;	  /* a power of two; 0: the format's default */
	uint32_t length_s;	  /* for formats without times; 0: TRACE_LENGTH_S */
};

/*
 * Reads a trace; file "-" is the standard input. -EINVAL: `why` (cap >= 256) says what is wrong and
 * where; -ENODATA: no accesses in it; else what open and read say; -ENOMEM.
 */
int trace_load(const char *file, const struct trace_options *options, struct trace *out, char *why,
	       size_t cap);
void trace_release(struct trace *trace);

const char *trace_format_name(enum trace_format format);
enum trace_format trace_format_find(const char *name); /* TRACE_UNKNOWN: none */

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Traces: a function per format turns a line into a request; what follows is the same for all.
 * Numbers of blocks and frames are given in the order in which the trace first names them.
 */
#include "tools/terrace/trace.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "tools/terrace/lines.h"
#include "tools/terrace/numbers.h"

#define BLOCK_DEFAULT 65536u
#define PAGE_DEFAULT  4096u		  /* of formats that count blocks */
#define REQUEST_MAX   (UINT64_C(1) << 36) /* more in one request is a mistake */
#define OFFSET_MAX    (UINT64_C(1) << 62)
#define SECTOR	      512u

struct request {
	uint64_t object, off, len;
	double time_s; /* < 0: the format has none */
	bool write;
};

enum line_kind { LINE_REQUEST, LINE_NOTHING, LINE_WRONG };

struct loader {
	struct trace *trace;
	struct numbers blocks, frames, objects;
	size_t access_cap, block_cap, frame_cap;
	double begin_s;
	uint32_t last_s;
	bool timed;
};

/* Formats -------------------------------------------------------------------------------------- */

/* Splits at blanks or at `comma`; returns how many words there are (one more than `most` means:
 * too many). */
static size_t split(char *line, bool comma, char **words, size_t most)
{
	const char *ends = comma ? "," : " \t";
	char *save = NULL;
	size_t n = 0;

	for (char *word = strtok_r(line, ends, &save); word; word = strtok_r(NULL, ends, &save)) {
		if (n == most)
			return most + 1;
		words[n++] = word;
	}
	return n;
}

static bool number(const char *word, int base, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(word, &end, base);
	return isxdigit((unsigned char)word[0]) && !*end && !errno;
}

static bool seconds(const char *word, double *out)
{
	char *end;

	*out = strtod(word, &end);
	return end != word && !*end && isfinite(*out) && *out >= 0;
}

static enum line_kind parse_text(char *line, uint32_t block, struct request *out)
{
	char *words[5];

	(void)block;
	if (split(line, false, words, 5) != 5 || !seconds(words[0], &out->time_s) ||
	    !number(words[2], 10, &out->off) || !number(words[3], 10, &out->len) ||
	    strlen(words[4]) != 1 || !strchr("rwRW", words[4][0]))
		return LINE_WRONG;
	out->object = XXH3_64bits(words[1], strlen(words[1])) | 1;
	out->write = tolower((unsigned char)words[4][0]) == 'w';
	return out->len ? LINE_REQUEST : LINE_NOTHING;
}

/* Blocks of a disk that is one object. */
static enum line_kind run_of_blocks(uint64_t first, uint64_t count, uint32_t block,
				    struct request *out)
{
	if (first > OFFSET_MAX / block || count > REQUEST_MAX / block)
		return LINE_WRONG;
	*out = (struct request){1, first * block, count * block, -1, false};
	return count ? LINE_REQUEST : LINE_NOTHING;
}

static enum line_kind parse_ids(char *line, uint32_t block, struct request *out)
{
	char *words[1];
	uint64_t id;

	/* The LIRS authors' files mark places with a star. */
	if (split(line, false, words, 1) != 1)
		return LINE_WRONG;
	if (!strcmp(words[0], "*"))
		return LINE_NOTHING;
	return number(words[0], 10, &id) ? run_of_blocks(id, 1, block, out) : LINE_WRONG;
}

static enum line_kind parse_arc(char *line, uint32_t block, struct request *out)
{
	char *words[4];
	uint64_t start, count, rest;

	if (split(line, false, words, 4) != 4 || !number(words[0], 10, &start) ||
	    !number(words[1], 10, &count) || !number(words[2], 10, &rest) ||
	    !number(words[3], 10, &rest))
		return LINE_WRONG;
	return run_of_blocks(start, count, block, out);
}

/* SCSI commands that read or write blocks: 6, 10, 12 and 16 byte forms. */
static bool scsi_moves_data(uint64_t op, bool *write)
{
	*write = op == 0x0a || op == 0x2a || op == 0xaa || op == 0x8a;
	return *write || op == 0x08 || op == 0x28 || op == 0xa8 || op == 0x88;
}

static enum line_kind parse_csv(char *line, uint32_t block, struct request *out)
{
	char *words[5];
	uint64_t version, op, sector;

	(void)block;
	if (!strncmp(line, "version,", 8))
		return LINE_NOTHING;
	if (split(line, true, words, 5) != 5 || !number(words[0], 10, &version) ||
	    !seconds(words[1], &out->time_s) || !number(words[2], 16, &op) ||
	    !number(words[3], 10, &out->len) || !number(words[4], 10, &sector) ||
	    sector > OFFSET_MAX / SECTOR)
		return LINE_WRONG;
	out->object = 1;
	out->off = sector * SECTOR;
	return scsi_moves_data(op, &out->write) && out->len ? LINE_REQUEST : LINE_NOTHING;
}

static const struct {
	const char *name, *line;
	uint32_t block_bytes;
	enum line_kind (*parse)(char *line, uint32_t block, struct request *out);
} formats[TRACE_FORMATS] = {
	[TRACE_UNKNOWN] = {"unknown", "", 0, NULL},
	[TRACE_TEXT] = {"text", "TIME_S OBJECT OFFSET LENGTH r|w", BLOCK_DEFAULT, parse_text},
	[TRACE_IDS] = {"ids", "the number of a block", PAGE_DEFAULT, parse_ids},
	[TRACE_ARC] = {"arc", "START COUNT IGNORED IGNORED", PAGE_DEFAULT, parse_arc},
	[TRACE_CSV] = {"csv", "version,time,op,size,lbn", BLOCK_DEFAULT, parse_csv},
};

const char *trace_format_name(enum trace_format format)
{
	return formats[format].name;
}

enum trace_format trace_format_find(const char *name)
{
	for (enum trace_format f = TRACE_TEXT; f < TRACE_FORMATS; f++)
		if (!strcmp(formats[f].name, name))
			return f;
	return TRACE_UNKNOWN;
}

/* The format whose parser takes the line. */
static enum trace_format look(const char *line)
{
	char copy[LINE_MAX_BYTES + 1];
	struct request request;

	for (enum trace_format f = TRACE_TEXT; f < TRACE_FORMATS; f++) {
		strcpy(copy, line); /* a line is at most LINE_MAX_BYTES */
		if (formats[f].parse(copy, PAGE_DEFAULT, &request) != LINE_WRONG)
			return f;
	}
	return TRACE_UNKNOWN;
}

/* Requests ------------------------------------------------------------------------------------- */

/* Room for one more behind the first `count` of an array. */
static int grow(void *array, size_t *cap, size_t count, size_t size)
{
	void **at = array, *p;

	if (count < *cap)
		return 0;
	p = realloc(*at, (*cap ? 2 * *cap : 4096) * size);
	if (!p)
		return -ENOMEM;
	*cap = *cap ? 2 * *cap : 4096;
	*at = p;
	return 0;
}

/* The number of a block's frame, which has one block more now. */
static int add_to_frame(struct loader *loader, uint64_t object, uint64_t index, uint32_t *frame)
{
	struct trace *trace = loader->trace;
	uint32_t count = loader->frames.count;
	int rc =
		grow(&trace->frame_blocks, &loader->frame_cap, count, sizeof(*trace->frame_blocks));

	if (rc == 0)
		rc = numbers_get(&loader->frames, object, index, frame);
	if (rc < 0)
		return rc;
	if (*frame == count)
		trace->frame_blocks[*frame] = 0;
	trace->frame_blocks[*frame]++;
	return 0;
}

static int add_block(struct loader *loader, uint64_t object, uint64_t index, uint32_t *block)
{
	struct trace *trace = loader->trace;
	uint64_t per_frame =
		trace->block_bytes < TRACE_FRAME_BYTES ? TRACE_FRAME_BYTES / trace->block_bytes : 1;
	struct trace_block item = {.object = object, .index = index};
	uint32_t count = loader->blocks.count;
	int rc = grow(&trace->blocks, &loader->block_cap, count, sizeof(*trace->blocks));

	if (rc == 0)
		rc = numbers_get(&loader->blocks, object, index, block);
	if (rc < 0 || *block < count)
		return rc;
	rc = add_to_frame(loader, object, index / per_frame, &item.frame);
	if (rc == 0)
		rc = numbers_get(&loader->objects, object, 0, &item.object_number);
	trace->blocks[*block] = item;
	return rc;
}

static int add_access(struct loader *loader, const struct trace_access *access)
{
	struct trace *trace = loader->trace;
	int rc = grow(&trace->accesses, &loader->access_cap, trace->naccesses,
		      sizeof(*trace->accesses));

	if (rc == 0)
		trace->accesses[trace->naccesses++] = *access;
	return rc;
}

/* Seconds since the first request; a clock that steps back stands still. */
static uint32_t time_of(struct loader *loader, double time_s)
{
	double since;

	if (time_s < 0)
		return 0;
	if (!loader->timed)
		loader->begin_s = time_s;
	loader->timed = true;
	since = time_s - loader->begin_s;
	if (since > loader->last_s)
		loader->last_s = since < INT32_MAX ? (uint32_t)since : INT32_MAX;
	return loader->last_s;
}

static int add_request(struct loader *loader, const struct request *request)
{
	uint64_t size = loader->trace->block_bytes, off = request->off;
	uint64_t end = off + request->len;
	struct trace_access access = {
		.time_s = time_of(loader, request->time_s), .write = request->write, .first = true};
	int rc = 0;

	for (; off < end && rc == 0; off += access.bytes, access.first = false) {
		uint64_t rest = size - off % size;

		access.off = (uint32_t)(off % size);
		access.bytes = (uint32_t)(end - off < rest ? end - off : rest);
		rc = add_block(loader, request->object, off / size, &access.block);
		if (rc == 0)
			rc = add_access(loader, &access);
	}
	loader->trace->requests++;
	loader->trace->bytes += request->len;
	return rc;
}

/* Spreads requests evenly over the length where the format has no times. */
static void set_times(struct loader *loader, uint32_t length_s)
{
	struct trace *trace = loader->trace;
	uint64_t request = 0;

	trace->length_s = loader->timed ? loader->last_s : length_s;
	for (size_t i = 0; i < trace->naccesses && !loader->timed; i++) {
		request += i && trace->accesses[i].first;
		trace->accesses[i].time_s = (uint32_t)(request * length_s / trace->requests);
	}
}

static int load_line(struct loader *loader, const struct trace_options *options, char *line)
{
	struct trace *trace = loader->trace;
	struct request request;

	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return 0;
	if (!trace->format)
		trace->format = look(line);
	if (!trace->format)
		return -EINVAL;
	trace->block_bytes =
		options->block_bytes ? options->block_bytes : formats[trace->format].block_bytes;
	switch (formats[trace->format].parse(line, trace->block_bytes, &request)) {
	case LINE_NOTHING:
		return 0;
	case LINE_REQUEST:
		if (request.off <= OFFSET_MAX && request.len <= REQUEST_MAX)
			return add_request(loader, &request);
		return -EINVAL;
	default:
		return -EINVAL;
	}
}

static void say_why(const char *file, const struct lines *lines, enum trace_format format, int rc,
		    char *why, size_t cap)
{
	if (rc == -EINVAL && !format)
		snprintf(why, cap, "%s:%llu: a line of no format that is known", file,
			 (unsigned long long)lines_number(lines));
	else if (rc == -EINVAL || rc == -E2BIG)
		snprintf(why, cap, "%s:%llu: should be %s", file,
			 (unsigned long long)lines_number(lines), formats[format].line);
	else
		snprintf(why, cap, "%s: %s", file,
			 rc == -ENODATA	  ? "nothing is read or written in it"
			 : rc == -EBADMSG ? "damaged xz data"
					  : strerror(-rc));
}

int trace_load(const char *file, const struct trace_options *options, struct trace *out, char *why,
	       size_t cap)
{
	struct loader loader = {.trace = out};
	struct lines *lines = NULL;
	char *line;
	int rc = lines_open(&lines, file);

	*out = (struct trace){.format = options->format};
	while (rc == 0 && (rc = lines_next(lines, &line)) == 0)
		rc = load_line(&loader, options, line);
	if (rc == -ENODATA && out->requests)
		rc = 0;
	if (rc < 0)
		say_why(file, lines, out->format, rc, why, cap);
	if (rc == -E2BIG)
		rc = -EINVAL;
	lines_close(lines);
	out->nblocks = loader.blocks.count;
	out->nframes = loader.frames.count;
	out->nobjects = loader.objects.count;
	set_times(&loader, options->length_s ? options->length_s : TRACE_LENGTH_S);
	numbers_release(&loader.blocks);
	numbers_release(&loader.frames);
	numbers_release(&loader.objects);
	if (rc < 0)
		trace_release(out);
	return rc;
}

void trace_release(struct trace *trace)
{
	free(trace->accesses);
	free(trace->blocks);
	free(trace->frame_blocks);
	*trace = (struct trace){0};
}

// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/floor/contents.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK	((size_t)1 << 20)
#define PAGE	((size_t)4096)
#define CLASSES 9 /* of buffers: PAGE << 0 ... CHUNK */
#define SLAB	((size_t)64 << 20)

struct chunk { /* CHUNK bytes; those from cap on are zeros */
	uint8_t *buf;
	size_t cap;
};

static struct {
	pthread_mutex_t lock;
	uint8_t *at, *end;    /* not yet used */
	void *freed[CLASSES]; /* each begins with the next one's address */
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool memory_more(size_t bytes)
{
	uint8_t *slab =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slab == MAP_FAILED)
		return false;
	madvise(slab, bytes, MADV_HUGEPAGE);
	memory.at = slab;
	memory.end = slab + bytes;
	return true;
}

static unsigned class_of(size_t cap)
{
	return (unsigned)__builtin_ctzl(cap / PAGE);
}

/* cap: PAGE << n, at most CHUNK. Not zeroed. */
static void *memory_take(size_t cap)
{
	void **freed = &memory.freed[class_of(cap)], *buf = NULL;

	pthread_mutex_lock(&memory.lock);
	if (*freed) {
		buf = *freed;
		memcpy(freed, buf, sizeof(*freed));
	} else if ((size_t)(memory.end - memory.at) >= cap || memory_more(SLAB)) {
		buf = memory.at;
		memory.at += cap;
	}
	pthread_mutex_unlock(&memory.lock);
	return buf;
}

static void memory_give(void *buf, size_t cap)
{
	void **freed = &memory.freed[class_of(cap)];

	pthread_mutex_lock(&memory.lock);
	memcpy(buf, freed, sizeof(*freed));
	*freed = buf;
	pthread_mutex_unlock(&memory.lock);
}

bool contents_reserve(size_t bytes)
{
	if (!memory_more(bytes))
		return false;
	memset(memory.at, 0, bytes);
	return true;
}

static void chunk_drop(struct chunk *chunk)
{
	if (chunk->buf)
		memory_give(chunk->buf, chunk->cap);
	*chunk = (struct chunk){0};
}

static int add_chunks(struct contents *contents, size_t i)
{
	size_t n = i + 1 < contents->count * 2 ? contents->count * 2 : i + 1;
	struct chunk *chunks;

	if (i < contents->count)
		return 0;
	chunks = realloc(contents->chunks, n * sizeof(*chunks));
	if (!chunks)
		return ENOMEM;
	memset(chunks + contents->count, 0, (n - contents->count) * sizeof(*chunks));
	contents->chunks = chunks;
	contents->count = n;
	return 0;
}

/* Room for [skip, skip + len), which is written next; what is new around it is zeros. */
static int chunk_grow(struct chunk *chunk, size_t skip, size_t len)
{
	struct chunk bigger = {.cap = PAGE};

	if (skip + len <= chunk->cap)
		return 0;
	while (bigger.cap < skip + len)
		bigger.cap *= 2;
	bigger.buf = memory_take(bigger.cap);
	if (!bigger.buf)
		return ENOMEM;
	if (chunk->cap)
		memcpy(bigger.buf, chunk->buf, chunk->cap);
	if (skip > chunk->cap)
		memset(bigger.buf + chunk->cap, 0, skip - chunk->cap);
	memset(bigger.buf + skip + len, 0, bigger.cap - skip - len);
	chunk_drop(chunk);
	*chunk = bigger;
	return 0;
}

void contents_cut(struct contents *contents, size_t size)
{
	for (size_t i = size / CHUNK; i < contents->count; i++) {
		struct chunk *chunk = &contents->chunks[i];
		size_t keep = i == size / CHUNK ? size % CHUNK : 0;

		if (!keep)
			chunk_drop(chunk);
		else if (keep < chunk->cap)
			memset(chunk->buf + keep, 0, chunk->cap - keep);
	}
}

int contents_write(struct contents *contents, const char *buf, size_t len, size_t off)
{
	int error = 0;

	while (!error && len) {
		size_t i = off / CHUNK, skip = off % CHUNK;
		size_t n = CHUNK - skip < len ? CHUNK - skip : len;

		error = add_chunks(contents, i);
		if (!error)
			error = chunk_grow(&contents->chunks[i], skip, n);
		if (!error)
			memcpy(contents->chunks[i].buf + skip, buf, n);
		buf += n;
		off += n;
		len -= n;
	}
	return error;
}

size_t contents_pieces(const struct contents *contents, size_t off, size_t end,
		       struct iovec iov[static CONTENTS_PIECES])
{
	static uint8_t zeros[CHUNK];
	size_t n = 0;

	while (off < end && n < CONTENTS_PIECES) {
		size_t i = off / CHUNK, skip = off % CHUNK;
		size_t cap = i < contents->count ? contents->chunks[i].cap : 0;
		size_t stop = skip < cap ? cap : CHUNK;
		size_t len = stop - skip < end - off ? stop - skip : end - off;

		iov[n++] = (struct iovec){.iov_base = skip < cap ? contents->chunks[i].buf + skip
								 : (void *)zeros,
					  .iov_len = len};
		off += len;
	}
	return n;
}

void contents_release(struct contents *contents)
{
	for (size_t i = 0; i < contents->count; i++)
		chunk_drop(&contents->chunks[i]);
	free(contents->chunks);
	*contents = (struct contents){0};
}

// SPDX-License-Identifier: Apache-2.0
/*
 * Pieces come sorted by object and offset. Those that reach over the place where the telling stands
 * are kept in a heap, the newest frame on top: the top is told up to its end, or up to where a
 * newer one begins.
 */
#include "tiers/finder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compress/bytes.h"
#include "compress/frame.h"
#include "tiers/check/sorter.h"
#include "tiers/io.h"
#include "tiers/log.h"
#include "tiers/segment.h"
#include "tiers/segment_file.h"
#include "tiers/segment_scan.h"

#define SORT_BYTES (32u << 20)
#define ID_END	   ((uint64_t)1 << 62) /* no pool ever gives out as many */
#define PIECE_LEN                                                                                 \
	48u /* object off ~frame, 8 each, big-endian; len(4) frame_off(4) segment(8) at(4) dir(2) \
	       aside spare */

struct finder {
	const struct finder_dir *dirs;
	size_t ndirs;
	const uint8_t *uuid;
	struct sorter *sorter;
	struct found_top top;
	struct found_piece next; /* of the sorter; frame 0: none */
	bool begun;
	struct found_piece *heap; /* by frame, the newest first */
	size_t count, cap;
	uint64_t object, told; /* where the telling stands */
	char path[PATH_MAX];   /* of the file that was read last */
	int fd;
};

int finder_new(struct finder **out, const struct finder_dir *dirs, size_t ndirs,
	       const uint8_t *pool_uuid)
{
	struct finder *finder = calloc(1, sizeof(*finder));
	int rc = finder ? sorter_new(&finder->sorter, PIECE_LEN, SORT_BYTES) : -ENOMEM;

	if (rc < 0) {
		free(finder);
		return rc;
	}
	finder->dirs = dirs;
	finder->ndirs = ndirs;
	finder->uuid = pool_uuid;
	finder->fd = -1;
	*out = finder;
	return 0;
}

void finder_free(struct finder *finder)
{
	if (!finder)
		return;
	if (finder->fd >= 0)
		io_close(finder->fd);
	sorter_free(finder->sorter);
	free(finder->heap);
	free(finder);
}

/* Scanning. ------------------------------------------------------------------------------------ */

struct scanning {
	struct finder *finder;
	uint64_t (*from)(void *arg, uint64_t segment);
	void *arg;
	uint64_t segment; /* at hand */
	uint16_t dir;
	bool aside;
	int error; /* that ends it */
};

static void top_raise(uint64_t *top, uint64_t id)
{
	*top = id > *top ? id : *top;
}

struct found_top finder_top(const struct finder *finder)
{
	return finder->top;
}

static int each_frame(void *arg, uint64_t off, const struct frame_header *header)
{
	const struct scanning *file = arg;
	uint32_t at = 0;
	int rc = 0;

	if (off > UINT32_MAX || !header->id || header->id >= ID_END)
		return 0;
	top_raise(&file->finder->top.frame, header->id);
	for (uint32_t i = 0; rc == 0 && i < header->nextents; i++) {
		const struct frame_extent *extent = &header->extents[i];
		uint8_t p[PIECE_LEN] = {0};

		if (!extent->object || extent->object >= ID_END) {
			at += extent->length;
			continue;
		}
		top_raise(&file->finder->top.object, extent->object);
		put_be64(p, extent->object);
		put_be64(p + 8, extent->offset);
		put_be64(p + 16, ~header->id);
		put_le32(p + 24, extent->length);
		put_le32(p + 28, at);
		put_le64(p + 32, file->segment);
		put_le32(p + 40, (uint32_t)off);
		put_le16(p + 44, file->dir);
		p[46] = file->aside;
		rc = sorter_add(file->finder->sorter, p);
		at += extent->length;
	}
	return rc;
}

/* Another pool's segment is no business of ours; one whose header is damaged may have our frames.
 */
static bool is_ours(const struct finder *finder, int fd)
{
	struct segment_header header;
	uint8_t buf[SEGMENT_HEADER_LEN];
	int rc = io_pread_all(fd, buf, sizeof(buf), 0);

	if (rc == 0)
		rc = segment_header_check(buf, sizeof(buf), &header);
	return rc < 0 || memcmp(header.pool_uuid, finder->uuid, sizeof(header.pool_uuid)) == 0;
}

static int file_scan(struct scanning *scanning, const char *path, uint64_t from)
{
	int fd = io_open(path, O_RDONLY, 0), rc = 0;

	if (fd == -ENOMEM)
		return fd;
	if (fd < 0) {
		log_warning("%s: cannot be read, what it holds is left out: %s", path,
			    strerror(-fd));
		return 0;
	}
	if (is_ours(scanning->finder, fd))
		rc = segment_scan(fd, path, from, each_frame, scanning);
	io_close(fd);
	return rc;
}

static int each_file(void *arg, uint64_t id, int folder, const char *name)
{
	struct scanning *scanning = arg;
	const char *root = scanning->finder->dirs[scanning->dir].path;
	char path[PATH_MAX];
	uint64_t from;

	(void)folder;
	(void)name;
	if (!id || id >= ID_END)
		return 0;
	top_raise(&scanning->finder->top.segment, id);
	from = scanning->from(scanning->arg, id);
	if (from == UINT64_MAX)
		return 0;
	scanning->segment = id;
	scanning->error = scanning->aside ? segment_aside_path(path, sizeof(path), root, id)
					  : segment_file_path(path, sizeof(path), root, id);
	if (scanning->error == 0)
		scanning->error = file_scan(scanning, path, from);
	return scanning->error;
}

/* What cannot be listed has been told of, and is left out. */
int finder_scan(struct finder *finder, uint64_t (*from)(void *arg, uint64_t segment), void *arg)
{
	struct scanning scanning = {.finder = finder, .from = from, .arg = arg};

	for (size_t i = 0; i < finder->ndirs && scanning.error == 0; i++) {
		const char *root = finder->dirs[i].path;

		scanning.dir = (uint16_t)i;
		scanning.aside = false;
		(void)segment_files_each(root, each_file, &scanning);
		scanning.aside = true;
		if (scanning.error == 0)
			(void)segment_aside_each(root, each_file, &scanning);
	}
	return scanning.error;
}

/* Telling. ------------------------------------------------------------------------------------- */

static int piece_next(struct finder *finder)
{
	struct found_piece *next = &finder->next;
	const uint8_t *p;
	int rc = sorter_next(finder->sorter, &p);

	next->frame = 0;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	*next = (struct found_piece){.object = get_be64(p),
				     .off = get_be64(p + 8),
				     .frame = ~get_be64(p + 16),
				     .len = get_le32(p + 24),
				     .frame_off = get_le32(p + 28),
				     .segment = get_le64(p + 32),
				     .at = get_le32(p + 40),
				     .dir = get_le16(p + 44),
				     .aside = p[46]};
	return 0;
}

static void swap(struct found_piece *a, struct found_piece *b)
{
	struct found_piece c = *a;

	*a = *b;
	*b = c;
}

/* The sorter's next piece goes into the heap. */
static int push(struct finder *finder)
{
	size_t at = finder->count;

	if (at == finder->cap) {
		size_t cap = finder->cap ? finder->cap * 2 : 64;
		void *p = realloc(finder->heap, cap * sizeof(*finder->heap));

		if (!p)
			return -ENOMEM;
		finder->heap = p;
		finder->cap = cap;
	}
	finder->heap[finder->count++] = finder->next;
	for (; at && finder->heap[at].frame > finder->heap[(at - 1) / 2].frame; at = (at - 1) / 2)
		swap(&finder->heap[at], &finder->heap[(at - 1) / 2]);
	return piece_next(finder);
}

static void pop(struct finder *finder)
{
	struct found_piece *heap = finder->heap;

	heap[0] = heap[--finder->count];
	for (size_t at = 0, child; (child = 2 * at + 1) < finder->count; at = child) {
		if (child + 1 < finder->count && heap[child + 1].frame > heap[child].frame)
			child++;
		if (heap[at].frame >= heap[child].frame)
			return;
		swap(&heap[at], &heap[child]);
	}
}

/* Pieces that begin where the telling stands, or before; with none, it goes on where the next one
 * begins. -ENOENT: there is no more. */
static int gather(struct finder *finder)
{
	const struct found_piece *next = &finder->next;
	int rc = finder->begun ? 0 : piece_next(finder);

	finder->begun = true;
	if (rc == 0 && !finder->count) {
		if (!next->frame)
			return -ENOENT;
		if (finder->object != next->object || next->off > finder->told)
			finder->told = next->off;
		finder->object = next->object;
	}
	while (rc == 0 && next->frame && next->object == finder->object &&
	       next->off <= finder->told)
		rc = push(finder);
	return rc;
}

int finder_next(struct finder *finder, int (*usable)(void *arg, const struct found_piece *piece),
		void *arg, struct found_piece *out)
{
	const struct found_piece *next = &finder->next;

	for (;;) {
		const struct found_piece *top = finder->heap;
		uint64_t end;
		int rc = gather(finder);

		top = finder->heap;
		if (rc < 0)
			return rc;
		end = top->off + top->len;
		rc = end > finder->told ? usable(arg, top) : 0;
		if (rc < 0)
			return rc;
		if (rc == 0) {
			pop(finder);
			continue;
		}
		/* A piece behind told may be newer. */
		if (next->frame && next->object == finder->object && next->off < end)
			end = next->off;
		*out = *top;
		out->off = finder->told;
		out->frame_off += (uint32_t)(finder->told - top->off);
		out->len = (uint32_t)(end - finder->told);
		finder->told = end;
		return 0;
	}
}

bool finder_twin(const struct finder *finder, const struct found_piece *piece)
{
	for (size_t i = 1; i < finder->count; i++)
		if (finder->heap[i].frame == piece->frame && finder->heap[i].off == piece->off)
			return true;
	return false;
}

/* Reading. ------------------------------------------------------------------------------------- */

int finder_path(const struct finder *finder, const struct found_piece *piece, char *buf, size_t cap)
{
	const char *root = finder->dirs[piece->dir].path;

	return piece->aside ? segment_aside_path(buf, cap, root, piece->segment)
			    : segment_file_path(buf, cap, root, piece->segment);
}

static int file_open(struct finder *finder, const struct found_piece *piece)
{
	char path[PATH_MAX];
	int rc = finder_path(finder, piece, path, sizeof(path));

	if (rc < 0 || (finder->fd >= 0 && strcmp(path, finder->path) == 0))
		return rc;
	if (finder->fd >= 0)
		io_close(finder->fd);
	finder->fd = io_open(path, O_RDONLY, 0);
	memcpy(finder->path, path, sizeof(path));
	return finder->fd < 0 ? finder->fd : 0;
}

int finder_load(struct finder *finder, const struct found_piece *piece, struct frame_header *header,
		uint8_t **stored)
{
	uint8_t fixed[FRAME_FIXED_LEN], *buf = NULL;
	uint32_t header_len, stored_len;
	int rc = file_open(finder, piece);

	*header = (struct frame_header){0};
	if (rc == 0)
		rc = io_pread_all(finder->fd, fixed, sizeof(fixed), piece->at);
	if (rc == 0)
		rc = frame_header_len(fixed, sizeof(fixed), &header_len, &stored_len);
	if (rc == 0) {
		buf = malloc(stored_len);
		rc = buf ? io_pread_all(finder->fd, buf, stored_len, piece->at) : -ENOMEM;
	}
	if (rc == 0)
		rc = frame_header_parse(buf, stored_len, header);
	if (rc == 0 && header->id != piece->frame)
		rc = -EBADMSG;
	if (rc < 0) {
		frame_header_release(header);
		free(buf);
		return rc;
	}
	*stored = buf;
	return 0;
}

bool finder_punched(const struct finder *finder, const struct found_piece *piece, uint32_t len)
{
	off_t hole = lseek(finder->fd, piece->at, SEEK_HOLE);

	return hole >= 0 && (uint64_t)hole < (uint64_t)piece->at + len;
}

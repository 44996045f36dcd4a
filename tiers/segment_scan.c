// SPDX-License-Identifier: Apache-2.0
#include "tiers/segment_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compress/frame.h"
#include "tiers/io.h"
#include "tiers/log.h"

#define WINDOW_BYTES (256u << 10)
#define BLOCK_BYTES  4096u /* what is given up where the medium cannot read */

struct scan {
	const char *path;
	int fd;
	uint64_t len; /* of the file */
	uint8_t *window;
	uint64_t window_off;
	size_t window_len;
	bool told; /* of bytes that cannot be read */
};

/* Bytes that cannot be read are zeros here: no frame begins in them. */
static int window_fill(struct scan *scan, uint64_t off)
{
	uint64_t left = scan->len - off;
	size_t len = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
	int rc = io_pread_all(scan->fd, scan->window, len, off);

	for (size_t at = 0; rc < 0 && at < len; at += BLOCK_BYTES) {
		size_t part = len - at < BLOCK_BYTES ? len - at : BLOCK_BYTES;
		int failed = io_pread_all(scan->fd, scan->window + at, part, off + at);

		if (failed == 0)
			continue;
		memset(scan->window + at, 0, part);
		if (!scan->told)
			log_warning("%s: cannot be read at byte %llu, and maybe further on: %s",
				    scan->path, (unsigned long long)(off + at), strerror(-failed));
		scan->told = true;
	}
	scan->window_off = off;
	scan->window_len = len;
	return 0;
}

/* *off: the next place at or behind it where a frame may begin; false: there is none. */
static bool next_magic(struct scan *scan, uint64_t *off)
{
	while (*off + FRAME_FIXED_LEN <= scan->len) {
		const uint8_t *found;
		size_t skip;

		if (*off < scan->window_off ||
		    *off + FRAME_FIXED_LEN > scan->window_off + scan->window_len) {
			off_t data = lseek(scan->fd, (off_t)*off, SEEK_DATA);

			if (data < 0 && errno == ENXIO)
				return false; /* a hole up to the end */
			if (data > (off_t)*off)
				*off = (uint64_t)data;
			window_fill(scan, *off);
		}
		skip = (size_t)(*off - scan->window_off);
		found = frame_find(scan->window + skip, scan->window_len - skip);
		if (found) {
			*off = scan->window_off + (size_t)(found - scan->window);
			return true;
		}
		/* Its last bytes may be the first ones of a magic. */
		*off = scan->window_off + scan->window_len;
		if (*off < scan->len)
			*off -= FRAME_FIXED_LEN - 1;
	}
	return false;
}

/* The frame at a place, header and tables; -EBADMSG, -ENOTSUP and so on: none that can be used. */
static int frame_at(const struct scan *scan, uint64_t off, struct frame_header *out)
{
	uint8_t fixed[FRAME_FIXED_LEN], *buf;
	uint32_t header_len, stored_len;
	int rc = io_pread_all(scan->fd, fixed, sizeof(fixed), off);

	if (rc == 0)
		rc = frame_header_len(fixed, sizeof(fixed), &header_len, &stored_len);
	if (rc == 0 && off + stored_len > scan->len)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	buf = malloc(header_len);
	rc = buf ? io_pread_all(scan->fd, buf, header_len, off) : -ENOMEM;
	if (rc == 0)
		rc = frame_header_parse(buf, header_len, out);
	free(buf);
	return rc;
}

int segment_scan(int fd, const char *path, uint64_t from,
		 int (*each)(void *arg, uint64_t off, const struct frame_header *header), void *arg)
{
	struct scan scan = {.path = path, .fd = fd};
	struct stat st;
	int rc = io_stat(fd, &st);

	if (rc < 0)
		return rc;
	scan.len = (uint64_t)st.st_size;
	scan.window = malloc(WINDOW_BYTES);
	if (!scan.window)
		return -ENOMEM;
	while (rc == 0 && next_magic(&scan, &from)) {
		struct frame_header header = {0};
		int error = frame_at(&scan, from, &header);

		if (error == -ENOMEM)
			rc = error;
		else if (error == 0)
			rc = each(arg, from, &header);
		from += error == 0 ? header.stored_len : 1;
		frame_header_release(&header);
	}
	free(scan.window);
	return rc;
}

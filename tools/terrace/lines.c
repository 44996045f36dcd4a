// SPDX-License-Identifier: Apache-2.0
/*
 * Lines: bytes come from the file as they are, or through liblzma when the file begins with the
 * magic of xz. `raw` is what was read, `text` what lines are cut from.
 */
#include "tools/terrace/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAW_BYTES   65536u
#define TEXT_BYTES  65536u
#define DECODER_MAX (256u << 20) /* xz -9 takes 65 MiB */

struct lines {
	int fd;
	uint64_t number;
	bool begun, xz, end_of_file, end_of_text;
	lzma_stream decoder;
	size_t raw_len; /* plain files: waiting in raw */
	size_t text_at, text_len;
	uint8_t raw[RAW_BYTES];
	char text[TEXT_BYTES + 1];
};

int lines_open(struct lines **out, const char *file)
{
	struct lines *lines = calloc(1, sizeof(*lines));

	if (!lines)
		return -ENOMEM;
	lines->decoder = (lzma_stream)LZMA_STREAM_INIT;
	lines->fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
	if (lines->fd < 0) {
		int rc = -errno;

		free(lines);
		return rc;
	}
	*out = lines;
	return 0;
}

void lines_close(struct lines *lines)
{
	if (!lines)
		return;
	lzma_end(&lines->decoder);
	close(lines->fd);
	free(lines);
}

uint64_t lines_number(const struct lines *lines)
{
	return lines->number;
}

/* Fills raw from its beginning. */
static int raw_read(struct lines *lines)
{
	lines->raw_len = 0;
	while (lines->raw_len < RAW_BYTES && !lines->end_of_file) {
		ssize_t n =
			read(lines->fd, lines->raw + lines->raw_len, RAW_BYTES - lines->raw_len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			lines->end_of_file = true;
		if (n > 0)
			lines->raw_len += (size_t)n;
	}
	return 0;
}

static int begin(struct lines *lines)
{
	static const uint8_t magic[] = {0xFD, '7', 'z', 'X', 'Z', 0};
	int rc = raw_read(lines);

	if (rc < 0)
		return rc;
	lines->begun = true;
	lines->xz = lines->raw_len >= sizeof(magic) && !memcmp(lines->raw, magic, sizeof(magic));
	if (!lines->xz)
		return 0;
	lines->decoder.next_in = lines->raw;
	lines->decoder.avail_in = lines->raw_len;
	return lzma_stream_decoder(&lines->decoder, DECODER_MAX, LZMA_CONCATENATED) == LZMA_OK
		       ? 0
		       : -ENOMEM;
}

static int decode(struct lines *lines, char *buf, size_t cap, size_t *got)
{
	lzma_stream *decoder = &lines->decoder;
	lzma_ret ret = LZMA_OK;
	int rc;

	decoder->next_out = (uint8_t *)buf;
	decoder->avail_out = cap;
	while (decoder->avail_out == cap && ret == LZMA_OK) {
		if (!decoder->avail_in && !lines->end_of_file) {
			rc = raw_read(lines);
			if (rc < 0)
				return rc;
			decoder->next_in = lines->raw;
			decoder->avail_in = lines->raw_len;
		}
		ret = lzma_code(decoder,
				lines->end_of_file && !decoder->avail_in ? LZMA_FINISH : LZMA_RUN);
	}
	*got = cap - decoder->avail_out;
	if (ret == LZMA_MEM_ERROR || ret == LZMA_MEMLIMIT_ERROR)
		return -ENOMEM;
	return ret == LZMA_OK || ret == LZMA_STREAM_END || *got ? 0 : -EBADMSG;
}

static int copy(struct lines *lines, char *buf, size_t cap, size_t *got)
{
	int rc = lines->raw_len ? 0 : raw_read(lines);

	if (rc < 0)
		return rc;
	*got = lines->raw_len < cap ? lines->raw_len : cap;
	memcpy(buf, lines->raw, *got);
	lines->raw_len -= *got;
	memmove(lines->raw, lines->raw + *got, lines->raw_len);
	return 0;
}

/* More text behind what there is. */
static int more(struct lines *lines)
{
	size_t got = 0;
	int rc;

	lines->text_len -= lines->text_at;
	memmove(lines->text, lines->text + lines->text_at, lines->text_len);
	lines->text_at = 0;
	rc = (lines->xz ? decode : copy)(lines, lines->text + lines->text_len,
					 TEXT_BYTES - lines->text_len, &got);
	lines->text_len += got;
	if (rc == 0 && !got)
		lines->end_of_text = true;
	return rc;
}

int lines_next(struct lines *lines, char **line)
{
	char *end;
	int rc = lines->begun ? 0 : begin(lines);
	size_t len;

	while (rc == 0) {
		*line = lines->text + lines->text_at;
		len = lines->text_len - lines->text_at;
		end = memchr(*line, '\n', len);
		if (end || (lines->end_of_text && len) || len > LINE_MAX_BYTES)
			break;
		if (lines->end_of_text)
			return -ENODATA;
		rc = more(lines);
	}
	if (rc < 0)
		return rc;
	lines->number++;
	len = end ? (size_t)(end - *line) : len;
	if (len > LINE_MAX_BYTES || memchr(*line, 0, len))
		return -E2BIG;
	lines->text_at += len + (end != NULL);
	(*line)[len] = '\0';
	if (len && (*line)[len - 1] == '\r')
		(*line)[len - 1] = '\0';
	return 0;
}

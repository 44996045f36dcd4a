// SPDX-License-Identifier: Apache-2.0
#include "tiers/readbuf.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "compress/frame.h"
#include "compress/frame_format.h"

_Static_assert(FRAME_HEADER_MAX + FRAME_RAW_MAX + 2 * READBUF_ALIGN <= READBUF_BYTES, "it fits");

struct readbufs {
	size_t bytes;
	unsigned keep;
	pthread_mutex_t lock; /* guards the rest */
	unsigned nkept;
	uint8_t *kept[];
};

int readbufs_new(struct readbufs **out, size_t bytes, unsigned keep)
{
	struct readbufs *bufs = calloc(1, sizeof(*bufs) + keep * sizeof(bufs->kept[0]));

	*out = bufs;
	if (!bufs)
		return -ENOMEM;
	bufs->bytes = bytes;
	bufs->keep = keep;
	pthread_mutex_init(&bufs->lock, NULL);
	return 0;
}

void readbufs_drop(struct readbufs *bufs)
{
	pthread_mutex_lock(&bufs->lock);
	while (bufs->nkept)
		free(bufs->kept[--bufs->nkept]);
	pthread_mutex_unlock(&bufs->lock);
}

void readbufs_free(struct readbufs *bufs)
{
	if (!bufs)
		return;
	readbufs_drop(bufs);
	pthread_mutex_destroy(&bufs->lock);
	free(bufs);
}

uint8_t *readbuf_get(struct readbufs *bufs)
{
	uint8_t *buf = NULL;

	pthread_mutex_lock(&bufs->lock);
	if (bufs->nkept)
		buf = bufs->kept[--bufs->nkept];
	pthread_mutex_unlock(&bufs->lock);
	return buf ? buf : aligned_alloc(READBUF_ALIGN, bufs->bytes);
}

void readbuf_put(struct readbufs *bufs, uint8_t *buf)
{
	if (!buf)
		return;
	pthread_mutex_lock(&bufs->lock);
	if (bufs->nkept < bufs->keep) {
		bufs->kept[bufs->nkept++] = buf;
		buf = NULL;
	}
	pthread_mutex_unlock(&bufs->lock);
	free(buf);
}

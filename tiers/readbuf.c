// SPDX-License-Identifier: Apache-2.0
#include "tiers/readbuf.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "compress/frame.h"
#include "compress/frame_format.h"

#define KEEP 8u

_Static_assert(FRAME_HEADER_MAX + FRAME_RAW_MAX + 2 * READBUF_ALIGN <= READBUF_BYTES, "it fits");

struct readbufs {
	pthread_mutex_t lock; /* guards the rest */
	uint8_t *kept[KEEP];
	unsigned nkept;
};

int readbufs_new(struct readbufs **out)
{
	struct readbufs *bufs = calloc(1, sizeof(*bufs));

	*out = bufs;
	if (!bufs)
		return -ENOMEM;
	pthread_mutex_init(&bufs->lock, NULL);
	return 0;
}

void readbufs_free(struct readbufs *bufs)
{
	if (!bufs)
		return;
	while (bufs->nkept)
		free(bufs->kept[--bufs->nkept]);
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
	return buf ? buf : aligned_alloc(READBUF_ALIGN, READBUF_BYTES);
}

void readbuf_put(struct readbufs *bufs, uint8_t *buf)
{
	if (!buf)
		return;
	pthread_mutex_lock(&bufs->lock);
	if (bufs->nkept < KEEP) {
		bufs->kept[bufs->nkept++] = buf;
		buf = NULL;
	}
	pthread_mutex_unlock(&bufs->lock);
	free(buf);
}

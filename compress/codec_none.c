// SPDX-License-Identifier: Apache-2.0
/*
 * "none": the bytes as they are. A codec like the others, so that no caller needs a special case.
 *
 * Threads: any; there is no state.
 */
#include <errno.h>
#include <string.h>

#include "compress/codec_impl.h"

static size_t none_bound(size_t len)
{
	return len;
}

static int none_encode(void **state, int level, const void *src, size_t len, void *dst, size_t cap,
		       size_t *stored)
{
	(void)state;
	(void)level;
	if (len > cap)
		return -ENOSPC;
	memcpy(dst, src, len);
	*stored = len;
	return 0;
}

static int none_decode(void **state, const void *src, size_t len, void *dst, size_t raw_len)
{
	(void)state;
	if (len != raw_len)
		return -EBADMSG;
	memcpy(dst, src, len);
	return 0;
}

static void none_release(void *state)
{
	(void)state;
}

const struct codec_ops codec_none_ops = {
	.name = "none",
	.bound = none_bound,
	.encode = none_encode,
	.decode = none_decode,
	.release = none_release,
};

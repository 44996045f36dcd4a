// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzzes the codecs: the input's first byte chooses codec and direction, the next two a length.
 * Decoding takes the rest as stored bytes; encoding takes it as raw bytes, with that length as the
 * room, and must give it back.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct codec_scratch *scratch;

static void decode(unsigned id, const uint8_t *data, size_t len, size_t raw_len)
{
	uint8_t *raw = malloc(raw_len ? raw_len : 1);

	if (raw)
		(void)codec_decode(scratch, id, data, len, raw, raw_len);
	free(raw);
}

static void encode(unsigned id, unsigned choice, const uint8_t *data, size_t len, size_t cap)
{
	static const int8_t levels[CODEC_COUNT][4] = {
		{0, 0, 0, 0}, {1, 2, 9, 12}, {-5, 1, 3, 19}, {0, 1, 6, 9}};
	const struct codec_spec spec = {.id = (uint8_t)id, .level = levels[id][choice % 4]};
	uint8_t *stored = malloc(cap ? cap : 1);
	uint8_t *raw = malloc(len ? len : 1);
	size_t n;

	if (stored && raw) {
		int err = codec_encode(scratch, &spec, data, len, stored, cap, &n);

		assert(err == 0 || err == -ENOSPC || err == -ENOMEM);
		if (cap >= codec_bound(id, len))
			assert(err != -ENOSPC);
		if (err == 0) {
			assert(n <= cap);
			err = codec_decode(scratch, id, stored, n, raw, len);
			assert(err == 0 || err == -ENOMEM);
			assert(err || memcmp(raw, data, len) == 0);
		}
	}
	free(stored);
	free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 3 || (!scratch && codec_scratch_new(&scratch)))
		return -1;
	unsigned id = data[0] % CODEC_COUNT;
	unsigned choice = data[0] / CODEC_COUNT;
	size_t length = get_le16(data + 1);

	data += 3;
	len -= 3;
	if (choice % 2 == 0)
		decode(id, data, len, length);
	else
		encode(id, choice / 2, data, len, length);
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_bytes.h"

#include <string.h>

uint64_t bytes_random(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void bytes_fill_random(void *buf, size_t len, uint64_t seed)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)bytes_random(&seed);
}

void bytes_fill_text(void *buf, size_t len, uint64_t seed)
{
	static const char *const words[] = {"extent ",	   "frame ",	 "segment ", "tier\n",
					    "checkpoint ", "journal ",	 "heat ",    "pool, ",
					    "watermark ",  "writeback ", "object ",  "codec. "};
	char *p = buf;

	for (size_t i = 0; i < len;) {
		const char *word = words[bytes_random(&seed) % 12];
		size_t n = strlen(word) < len - i ? strlen(word) : len - i;

		memcpy(p + i, word, n);
		i += n;
	}
}

void bytes_fill_skewed(void *buf, size_t len, uint64_t seed)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)('a' + bytes_random(&seed) % 16);
}

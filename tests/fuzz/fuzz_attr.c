// SPDX-License-Identifier: Apache-2.0
/*
 * Any bytes as inode attributes and as an ACL: what is taken for attributes comes out again as it
 * went in, and what is taken for an ACL is one still after a chmod and after being inherited.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/attr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void attributes(const uint8_t *data, size_t size)
{
	uint8_t again[ATTR_LEN];
	struct attr attr;
	struct stat st;

	if (attr_decode(data, size, &attr))
		return;
	attr_encode(&attr, again);
	assert(memcmp(again, data, size < ATTR_LEN ? ATTR_LEN_MIN : ATTR_LEN) == 0);
	attr_to_stat(&attr, 7, &st);
	assert(st.st_ino == 7 && st.st_mtim.tv_nsec >= 0 && st.st_mtim.tv_nsec < 1000000000);
	(void)attr_time_ns(attr.mtime);
	attr_kill_suidgid(&attr);
}

static void acl(const uint8_t *data, size_t size, uint32_t mode)
{
	uint8_t *copy;
	bool minimal;

	if (acl_check(data, size) || acl_is_empty(size))
		return;
	copy = malloc(size);
	assert(copy);
	assert(acl_to_mode(data, size, &minimal) <= 0777);
	memcpy(copy, data, size);
	acl_set_mode(copy, size, mode);
	assert(acl_check(copy, size) == 0 && acl_to_mode(copy, size, &minimal) == mode);
	memcpy(copy, data, size);
	assert((acl_inherit(copy, size, mode) & ~mode) == 0);
	assert(acl_check(copy, size) == 0);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *own;

	if (size < 2)
		return -1;
	own = malloc(size - 2 + 1); /* of that size, for ASan */
	if (!own)
		return -1;
	memcpy(own, data + 2, size - 2);
	own = realloc(own, size > 2 ? size - 2 : 1);
	attributes(own, size - 2);
	acl(own, size - 2, (uint32_t)(data[0] | data[1] << 8) & 0777);
	free(own);
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * ACL entries in place, as bytes.
 *
 * The kernel's order is USER_OBJ, USER..., GROUP_OBJ, GROUP..., MASK, OTHER; acl_check() insists on
 * it, and the others rely on it: a mask, where there is one, comes after the group's own entry and
 * stands in its place in the mode.
 */
#include "fs/acl.h"

#include <errno.h>
#include <sys/stat.h>

#include "compress/bytes.h"

#define ACL_VERSION 2u
#define HEAD_LEN    4u
#define ENTRY_LEN   8u

enum acl_tag {
	TAG_USER_OBJ = 0x01,
	TAG_USER = 0x02,
	TAG_GROUP_OBJ = 0x04,
	TAG_GROUP = 0x08,
	TAG_MASK = 0x10,
	TAG_OTHER = 0x20,
};

static uint8_t *entry_at(void *acl, size_t i)
{
	return (uint8_t *)acl + HEAD_LEN + i * ENTRY_LEN;
}

static size_t entries(size_t len)
{
	return (len - HEAD_LEN) / ENTRY_LEN;
}

/* Bits of one entry, put back at once with `and`/`or`. */
static uint32_t perm_get(const uint8_t *entry)
{
	return get_le16(entry + 2);
}

static void perm_put(uint8_t *entry, uint32_t perm)
{
	put_le16(entry + 2, (uint16_t)perm);
}

bool acl_is_empty(size_t len)
{
	return len <= HEAD_LEN;
}

int acl_check(const void *acl, size_t len)
{
	const uint8_t *p = acl;
	unsigned seen = 0, last = 0;

	if (len > ACL_LEN_MAX)
		return -E2BIG;
	if (len < HEAD_LEN || (len - HEAD_LEN) % ENTRY_LEN)
		return -EINVAL;
	if (get_le32(p) != ACL_VERSION)
		return -ENOTSUP;
	if (acl_is_empty(len))
		return 0;
	for (size_t i = 0; i < entries(len); i++) {
		const uint8_t *entry = p + HEAD_LEN + i * ENTRY_LEN;
		unsigned tag = get_le16(entry);
		bool named = tag == TAG_USER || tag == TAG_GROUP;

		if (!tag || tag > TAG_OTHER || (tag & (tag - 1)) || get_le16(entry + 2) > 7)
			return -EINVAL;
		if (tag < last || (tag == last && !named))
			return -EINVAL;
		last = tag;
		seen |= tag;
	}
	if ((seen & (TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER)) !=
	    (TAG_USER_OBJ | TAG_GROUP_OBJ | TAG_OTHER))
		return -EINVAL;
	if ((seen & (TAG_USER | TAG_GROUP)) && !(seen & TAG_MASK))
		return -EINVAL;
	return 0;
}

uint32_t acl_to_mode(const void *acl, size_t len, bool *minimal)
{
	uint32_t mode = 0;

	*minimal = true;
	for (size_t i = 0; i < entries(len); i++) {
		const uint8_t *entry = (const uint8_t *)acl + HEAD_LEN + i * ENTRY_LEN;
		uint32_t perm = perm_get(entry);

		switch (get_le16(entry)) {
		case TAG_USER_OBJ:
			mode |= perm << 6;
			break;
		case TAG_GROUP_OBJ:
			mode |= perm << 3;
			break;
		case TAG_OTHER:
			mode |= perm;
			break;
		case TAG_MASK: /* comes after GROUP_OBJ and stands in its place */
			mode = (mode & ~070u) | perm << 3;
			*minimal = false;
			break;
		default:
			*minimal = false;
		}
	}
	return mode;
}

static uint8_t *group_entry(void *acl, size_t len)
{
	uint8_t *group = NULL;

	for (size_t i = 0; i < entries(len); i++) {
		uint8_t *entry = entry_at(acl, i);

		if (get_le16(entry) == TAG_MASK)
			return entry;
		if (get_le16(entry) == TAG_GROUP_OBJ)
			group = entry;
	}
	return group;
}

void acl_set_mode(void *acl, size_t len, uint32_t mode)
{
	uint8_t *group = group_entry(acl, len);

	for (size_t i = 0; i < entries(len); i++) {
		uint8_t *entry = entry_at(acl, i);

		if (get_le16(entry) == TAG_USER_OBJ)
			perm_put(entry, mode >> 6 & 7);
		else if (get_le16(entry) == TAG_OTHER)
			perm_put(entry, mode & 7);
	}
	if (group)
		perm_put(group, mode >> 3 & 7);
}

uint32_t acl_inherit(void *acl, size_t len, uint32_t mode)
{
	uint8_t *group = group_entry(acl, len);
	bool minimal;

	for (size_t i = 0; i < entries(len); i++) {
		uint8_t *entry = entry_at(acl, i);

		if (get_le16(entry) == TAG_USER_OBJ)
			perm_put(entry, perm_get(entry) & (mode >> 6 & 7));
		else if (get_le16(entry) == TAG_OTHER)
			perm_put(entry, perm_get(entry) & mode & 7);
	}
	if (group)
		perm_put(group, perm_get(group) & (mode >> 3 & 7));
	return acl_to_mode(acl, len, &minimal);
}

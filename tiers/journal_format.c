// SPDX-License-Identifier: Apache-2.0
/*
 * The journal's headers as bytes: terrace-format(5), JOURNAL.
 *
 * Invariants:
 *  1. Every header carries the pool and a checksum; a group's is seeded with its file's salt, so
 *     that neither a group of the file's former life nor bytes that a user stored pass for one.
 * Pure functions.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "compress/bytes.h"
#include "compress/checksum.h"
#include "tiers/journal_impl.h"

#define FILE_CHECKSUM_OFF  72u
#define GROUP_CHECKSUM_OFF 96u

uint64_t journal_aligned(uint64_t len)
{
	return (len + JOURNAL_ALIGN - 1) & ~(uint64_t)(JOURNAL_ALIGN - 1);
}

void journal_path(const struct journal *journal, unsigned name, char *path, size_t cap)
{
	snprintf(path, cap, "%s/journal.%u", journal->dir, name);
}

void file_header_encode(const struct journal *journal, uint64_t number, uint64_t salt, uint8_t *buf)
{
	memset(buf, 0, JOURNAL_HEADER_LEN);
	memcpy(buf, JOURNAL_MAGIC, 8);
	put_le32(buf + 8, JOURNAL_VERSION);
	put_le32(buf + 12, JOURNAL_HEADER_LEN);
	memcpy(buf + 40, journal->uuid, 16);
	put_le64(buf + 56, number);
	put_le64(buf + 64, salt);
	put_le64(buf + FILE_CHECKSUM_OFF, checksum64(buf, FILE_CHECKSUM_OFF));
}

int file_header_decode(const struct journal *journal, const uint8_t *buf, uint64_t *number,
		       uint64_t *salt)
{
	if (memcmp(buf, JOURNAL_MAGIC, 8) ||
	    get_le64(buf + FILE_CHECKSUM_OFF) != checksum64(buf, FILE_CHECKSUM_OFF))
		return -EBADMSG;
	if (memcmp(buf + 40, journal->uuid, 16))
		return -ENOTUNIQ;
	if (get_le32(buf + 8) != JOURNAL_VERSION || get_le32(buf + 12) != JOURNAL_HEADER_LEN ||
	    get_le64(buf + 16) || get_le64(buf + 24))
		return -ENOTSUP;
	*number = get_le64(buf + 56);
	*salt = get_le64(buf + 64);
	return 0;
}

void group_header_encode(const struct journal *journal, const struct group_header *group,
			 uint8_t *buf)
{
	memset(buf, 0, GROUP_HEADER_LEN);
	memcpy(buf, GROUP_MAGIC, 8);
	put_le32(buf + 8, JOURNAL_VERSION);
	memcpy(buf + 16, journal->uuid, 16);
	put_le64(buf + 32, group->number);
	put_le64(buf + 40, group->salt);
	put_le64(buf + 48, group->first_seq);
	put_le64(buf + 56, group->last_seq);
	put_le64(buf + 64, group->len);
	put_le64(buf + 72, group->prev_number);
	put_le64(buf + 80, group->prev_end);
	put_le64(buf + 88, group->payload_checksum);
	put_le64(buf + GROUP_CHECKSUM_OFF, checksum64_seed(buf, GROUP_CHECKSUM_OFF, group->salt));
}

int group_header_decode(const struct journal *journal, const uint8_t *buf,
			struct group_header *group)
{
	if (memcmp(buf, GROUP_MAGIC, 8))
		return -EBADMSG;
	group->number = get_le64(buf + 32);
	group->salt = get_le64(buf + 40);
	group->first_seq = get_le64(buf + 48);
	group->last_seq = get_le64(buf + 56);
	group->len = get_le64(buf + 64);
	group->prev_number = get_le64(buf + 72);
	group->prev_end = get_le64(buf + 80);
	group->payload_checksum = get_le64(buf + 88);
	if (get_le64(buf + GROUP_CHECKSUM_OFF) !=
		    checksum64_seed(buf, GROUP_CHECKSUM_OFF, group->salt) ||
	    get_le32(buf + 8) != JOURNAL_VERSION || memcmp(buf + 16, journal->uuid, 16) ||
	    group->len <= GROUP_HEADER_LEN || group->len > INT64_MAX ||
	    group->first_seq > group->last_seq)
		return -EBADMSG;
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Settings of files and folders, and jobs: records of their own, kept by inode or by number. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "fs/check_impl.h"
#include "fs/policy.h"

#define SETTING_HEAD "Pfs.policy."
#define JOB_HEAD     "Pfs.job."
#define SETTING_KEY  (sizeof(SETTING_HEAD) - 1 + 8)
#define JOB_KEY	     (sizeof(JOB_HEAD) - 1 + 8 + 2)

static int setting_check(struct fs_check *fsc, const struct meta_item *item)
{
	uint64_t id = item->key_len == SETTING_KEY ? get_be64(item->key + SETTING_KEY - 8) : 0;
	struct fs_check_inode inode;
	unsigned kinds;
	int rc = id ? fs_check_load(fsc, id, &inode) : -ENOENT;

	if (rc < 0 && rc != -ENOENT)
		return rc == -EUCLEAN || rc == -ENOTSUP ? 0 : rc;
	if (rc == -ENOENT || !policy_record_readable(item->value, item->len, &kinds)) {
		if (!check_report(fsc->check, CHECK_SETTINGS, true, rc ? 0 : id,
				  rc ? "settings of inode %llu, which does not exist"
				     : "the settings of inode %llu cannot be read",
				  (unsigned long long)id))
			return 0;
		check_del(fsc->check, item->key, item->key_len);
		return check_mend(fsc->check);
	}
	if (inode.attr_error || inode.attr.flags & ATTR_HAS_POLICY)
		return 0;
	if (!check_report(fsc->check, CHECK_FLAGS, true, id,
			  "has settings, and its flags do not say so"))
		return 0;
	inode.attr.flags |= ATTR_HAS_POLICY;
	fs_check_store(fsc, &inode);
	return check_mend(fsc->check);
}

/* Jobs -------------------------------------------------------------------------------------------
 */

struct job {
	uint64_t number;
	bool any, known, strange;
	uint64_t wants, has; /* parts of its request */
};

/* Parts without their record are what a crash leaves; the next mount drops them. */
static int job_end(struct fs_check *fsc, const struct job *job)
{
	uint8_t key[JOB_KEY];

	if (!job->any || !job->known || job->strange || job->wants == job->has)
		return 0;
	if (!check_report(fsc->check, CHECK_JOB, true, 0,
			  "job %llu has %llu parts of its request, of %llu",
			  (unsigned long long)job->number, (unsigned long long)job->has,
			  (unsigned long long)job->wants))
		return 0;
	memcpy(key, JOB_HEAD, sizeof(JOB_HEAD) - 1);
	put_be64(key + sizeof(JOB_HEAD) - 1, job->number);
	put_be16(key + JOB_KEY - 2, 0);
	check_del(fsc->check, key, sizeof(key)); /* the parts follow at the next mount */
	return check_mend(fsc->check);
}

static void job_record(struct job *job, const struct meta_item *item)
{
	json_t *json = json_loadb((const char *)item->value + 1, item->len - 1, 0, NULL);

	job->known = true;
	job->strange = !json;
	job->wants = (uint64_t)json_integer_value(json_object_get(json, "parts"));
	json_decref(json);
}

static int job_check(struct fs_check *fsc, const struct meta_item *item, struct job *job)
{
	uint64_t number;
	int rc = 0;

	if (item->key_len != JOB_KEY)
		return 0;
	number = get_be64(item->key + sizeof(JOB_HEAD) - 1);
	if (!job->any || number != job->number) {
		rc = job_end(fsc, job);
		*job = (struct job){.number = number, .any = true};
	}
	if (!item->len || item->value[0] != 1)
		job->strange = true; /* of a newer program: left alone */
	else if (get_be16(item->key + JOB_KEY - 2))
		job->has++;
	else
		job_record(job, item);
	return rc;
}

int fs_check_settings(struct fs_check *fsc)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	struct job job = {0};
	int rc = meta_cursor_open(fsc->meta, SETTING_HEAD, sizeof(SETTING_HEAD) - 1, NULL, 0,
				  &cursor);

	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0 && rc == 0)
		if ((rc = setting_check(fsc, &item)) < 0)
			break;
	meta_cursor_close(cursor);
	if (rc != -ENOENT)
		return rc;
	rc = meta_cursor_open(fsc->meta, JOB_HEAD, sizeof(JOB_HEAD) - 1, NULL, 0, &cursor);
	if (rc < 0)
		return rc;
	while ((rc = meta_cursor_next(cursor, &item)) == 0)
		if ((rc = job_check(fsc, &item, &job)) < 0)
			break;
	meta_cursor_close(cursor);
	return rc == -ENOENT ? job_end(fsc, &job) : rc;
}

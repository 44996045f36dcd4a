// SPDX-License-Identifier: Apache-2.0
/* user.terrace.*: pins and codecs, their inheritance, and the reports. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdatomic.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/control.h"
#include "fs/inode.h"
#include "fs/policy.h"
#include "tests/unit/fix_fs.h"
#include "tiers/config_keys.h"
#include "tiers/meta.h"

#define SET(id, name, value) \
	fs_setxattr(fix->fs, id, "user.terrace." name, value, strlen(value), 0, &fix->cred)

static const char *get(struct fix_fs *fix, uint64_t id, const char *key)
{
	static char buf[8192];
	char name[64];
	size_t len = 0;

	snprintf(name, sizeof(name), "user.terrace.%s", key);
	if (fs_getxattr(fix->fs, id, name, buf, sizeof(buf) - 1, &len))
		return "-";
	buf[len] = '\0';
	return buf;
}

static int pin_of(struct fix_fs *fix, uint64_t id)
{
	struct object_policy policy;

	policy_effective(fix->fs->policy, id, 0, &policy);
	return policy.pin;
}

static void inheritance(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), b = fix_folder(fix, a, "b");
	uint64_t other = fix_folder(fix, ROOT, "other"), f = fix_file(fix, b, "f", "data");

	assert_int_equal(pin_of(fix, f), -1);
	assert_string_equal(get(fix, f, "effective.pin"), "none default");
	assert_int_equal(SET(a, "pin", "hdd"), 0);
	assert_int_equal(pin_of(fix, f), 2);
	assert_int_equal(pin_of(fix, f), 2); /* cached */
	assert_string_equal(get(fix, f, "effective.pin"), "hdd /a");
	assert_string_equal(get(fix, f, "pin"), "-");
	assert_int_equal(SET(f, "pin", "ssd"), 0); /* the nearest wins */
	assert_int_equal(pin_of(fix, f), 1);
	assert_int_equal(SET(b, "codec", "zstd:7"), 0);
	assert_string_equal(get(fix, f, "effective.codec"), "zstd:7 /a/b");
	assert_string_equal(get(fix, f, "effective.pin"), "ssd /a/b/f");
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.pin"), 0);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.pin"), -ENODATA);
	assert_int_equal(pin_of(fix, f), 2);
	assert_int_equal(fs_rename(fix->fs, a, "b", other, "b", 0), 0); /* the folder above moves */
	assert_int_equal(pin_of(fix, f), -1);
	assert_string_equal(get(fix, f, "effective.codec"), "zstd:7 /other/b");
	assert_int_equal(fs_rename(fix->fs, other, "b", a, "b", 0), 0);
	assert_int_equal(pin_of(fix, f), 2);
}

static int records(struct fix_fs *fix)
{
	struct meta_cursor *cursor;
	struct meta_item item;
	int n = 0;

	assert_int_equal(meta_cursor_open(fix->fs->meta, "Pfs.policy.", 11, NULL, 0, &cursor), 0);
	while (!meta_cursor_next(cursor, &item))
		n++;
	meta_cursor_close(cursor);
	return n;
}

static void kept(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), f = fix_file(fix, a, "f", "data");
	char list[64];
	size_t len;

	assert_int_equal(SET(a, "pin", "hdd"), 0);
	assert_int_equal(SET(a, "codec", "lzma:9"), 0);
	assert_int_equal(fs_listxattr(fix->fs, a, true, list, sizeof(list), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(records(fix), 1);
	fix_fs_crash(fix);
	assert_int_equal(pin_of(fix, f), 2);
	assert_string_equal(get(fix, a, "codec"), "lzma:9");
	assert_int_equal(fs_unlink(fix->fs, a, "f"), 0);
	assert_int_equal(fs_rmdir(fix->fs, ROOT, "a"), 0);
	assert_int_equal(records(fix), 0); /* the setting went with its folder */
	fix_fs_remount(fix);
	f = fix_file(fix, ROOT, "f", "data");
	assert_int_equal(pin_of(fix, f), -1);
}

static void refused(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");

	assert_int_equal(SET(f, "pin", "nowhere"), -EINVAL);
	assert_int_equal(SET(f, "pin", ""), -EINVAL);
	assert_int_equal(SET(f, "codec", "zip"), -EINVAL);
	assert_int_equal(SET(f, "codec", "zstd:99"), -EINVAL);
	assert_int_equal(SET(f, "tier", "ssd"), -EROFS);
	assert_int_equal(SET(f, "effective.pin", "ssd"), -EROFS);
	assert_int_equal(SET(f, "unknown", "ssd"), -EINVAL);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.tier"), -EROFS);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.unknown"), -ENODATA);
	assert_string_equal(get(fix, f, "unknown"), "-");
	assert_int_equal(fs_setxattr(fix->fs, f, "user.terrace.pin", "ssd\0x", 5, 0, &fix->cred),
			 -EINVAL);
}

static void reports(void **state)
{
	struct fix_fs *fix = *state;
	char text[3000];
	uint64_t f, d = fix_folder(fix, ROOT, "d");

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	f = fix_file(fix, d, "f", text);
	assert_string_equal(get(fix, f, "tier"), "ram");
	assert_string_equal(get(fix, f, "tiers"), "ram=2999");
	assert_string_equal(get(fix, f, "extents"), "0 2999 ram - 1.00 0 1/1\n");
	assert_int_equal(fs_fsync_all(fix->fs), 0);
	assert_string_equal(get(fix, f, "tier"), "ssd");
	assert_string_equal(get(fix, f, "tiers"), "ssd=2999");
	assert_true(atof(get(fix, f, "ratio")) > 2);
	assert_true(strstr(get(fix, f, "extents"), "0 2999 ssd lz4:1 "));
	assert_string_equal(get(fix, f, "effective.codec"), "lz4:1 tier ssd");
	assert_string_equal(get(fix, ROOT, "tiers"), "ssd=2999");
	assert_string_equal(get(fix, d, "tier"), "-");
}

static void flags(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");

#define WITH(flag, value) \
	fs_setxattr(fix->fs, f, "user.terrace.pin", value, strlen(value), flag, &fix->cred)
	assert_int_equal(WITH(XATTR_REPLACE, "ssd"), -ENODATA);
	assert_int_equal(WITH(XATTR_CREATE, "ssd"), 0);
	assert_int_equal(WITH(XATTR_CREATE, "hdd"), -EEXIST);
	assert_string_equal(get(fix, f, "pin"), "ssd");
	assert_int_equal(WITH(XATTR_REPLACE, "hdd"), 0);
	assert_string_equal(get(fix, f, "pin"), "hdd");
	assert_int_equal(WITH(XATTR_CREATE, "nowhere"), -EINVAL);
}

static struct object_policy policy_of(struct fix_fs *fix, uint64_t id, uint32_t age_s)
{
	struct object_policy policy;

	policy_effective(fix->fs->policy, id, age_s, &policy);
	return policy;
}

static void states(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), b = fix_folder(fix, a, "b");
	uint64_t f = fix_file(fix, b, "f", "data");

	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_ACTIVE);
	assert_int_equal(SET(f, "state", "frozen"), -EINVAL);
	assert_int_equal(SET(f, "state", "Sealed"), -EINVAL);
	assert_int_equal(SET(f, "state", ""), -EINVAL);
	assert_int_equal(SET(a, "state", "archived"), 0);
	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_ARCHIVED);
	assert_string_equal(get(fix, f, "state"), "-");
	assert_string_equal(get(fix, a, "state"), "archived");
	assert_int_equal(SET(b, "state", "sealed"), 0);
	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_SEALED);
	assert_int_equal(SET(f, "state", "active"), 0); /* goes before what is above */
	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_ACTIVE);
	fix_fs_crash(fix);
	assert_string_equal(get(fix, f, "state"), "active");
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.state"), 0);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.state"), -ENODATA);
	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_SEALED);
	/* With a pin beside it, and without it again, the record is read back whole. */
	assert_int_equal(SET(b, "pin", "hdd"), 0);
	fix_fs_remount(fix);
	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_SEALED);
	assert_int_equal(policy_of(fix, f, 0).pin, 2);
	assert_int_equal(fs_removexattr(fix->fs, b, "user.terrace.state"), 0);
	fix_fs_remount(fix);
	assert_int_equal(policy_of(fix, f, 0).state, OBJECT_ARCHIVED);
	assert_int_equal(policy_of(fix, f, 0).pin, 2);
}

/* The engine's word neither replaces nor takes away what somebody has set. */
static void the_engines_word(void **state)
{
	struct fix_fs *fix = *state;
	struct policy *policy = fix->fs->policy;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	char text[POLICY_TEXT_MAX];

	for (unsigned i = 0; i < 2; i++) {
		int error = i ? -EEXIST : 0, gone = i ? -ENODATA : 0;

		if (i)
			assert_int_equal(policy_set(policy, f, POLICY_LAYOUT, "frames", 0), 0);
		assert_int_equal(policy_note(policy, f, POLICY_LAYOUT, POLICY_DATABASE, true),
				 error);
		assert_int_equal(policy_note(policy, f, POLICY_LAYOUT, POLICY_DATABASE, true),
				 -EEXIST);
		assert_int_equal(policy_note(policy, f, POLICY_LAYOUT, POLICY_DATABASE, false),
				 gone);
		assert_int_equal(policy_note(policy, f, POLICY_LAYOUT, POLICY_DATABASE, false),
				 -ENODATA);
	}
	assert_int_equal(policy_get(policy, f, POLICY_LAYOUT, text), 0);
	assert_string_equal(text, "frames");
}

/* Rules as a configuration file has them, for the mounted pool. */
static void use_rules(struct fix_fs *fix, const char *rules)
{
	char text[4096], message[512];
	struct pool_config config;

	snprintf(text, sizeof(text),
		 "[pool]\nuuid = 00112233445566778899aabbccddeeff\n[tier ssd]\npath = /s\n"
		 "[tier hdd]\npath = /h\n%s",
		 rules);
	if (config_parse_text("/etc/terrace/x.conf", text, strlen(text), &config, message, 512))
		fail_msg("%s", message);
	assert_int_equal(policy_rules_set(fix->fs->policy, &config), 0);
	config_release(&config);
}

static int rule_of(struct fix_fs *fix, uint64_t id)
{
	return policy_of(fix, id, 0).rule;
}

static void rules_match(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t a = fix_folder(fix, ROOT, "a"), b = fix_folder(fix, a, "b");
	uint64_t f = fix_file(fix, b, "f.jpg", "data"), g = fix_file(fix, ROOT, "g", "0123456789");
	struct stat st;

	assert_int_equal(rule_of(fix, f), -1);
	use_rules(fix, "[rule one]\nmatch=/a/*.jpg\n[rule two]\nmatch=/x\nmatch=/a/**/*.jpg\n"
		       "tier=hdd\n[rule three]\nmin_size=10\nmax_size=10\nnever=ssd\n");
	assert_int_equal(rule_of(fix, f), 1);
	assert_int_equal(rule_of(fix, f), 1); /* its folder's path is cached */
	assert_int_equal(policy_of(fix, f, 0).tier, 2);
	assert_int_equal(rule_of(fix, g), 2);
	assert_int_equal(policy_of(fix, g, 0).never_tiers, 1 << 1);
	assert_int_equal(rule_of(fix, a), -1); /* a folder has no bytes */
	/* Its name, its folder's, and one above change. */
	assert_int_equal(fs_rename(fix->fs, b, "f.jpg", b, "f.png", 0), 0);
	assert_int_equal(rule_of(fix, f), -1);
	assert_int_equal(fs_rename(fix->fs, b, "f.png", a, "f.jpg", 0), 0);
	assert_int_equal(rule_of(fix, f), 0);
	assert_int_equal(fs_rename(fix->fs, a, "f.jpg", b, "f.jpg", 0), 0);
	assert_int_equal(rule_of(fix, f), 1);
	assert_int_equal(fs_rename(fix->fs, ROOT, "a", ROOT, "c", 0), 0);
	assert_int_equal(rule_of(fix, f), -1);
	assert_int_equal(fs_rename(fix->fs, ROOT, "c", ROOT, "a", 0), 0);
	assert_int_equal(rule_of(fix, f), 1);
	/* A second name: the last one counts. */
	assert_int_equal(fs_link(fix->fs, f, a, "g.jpg", &st), 0);
	assert_int_equal(rule_of(fix, f), 0);
	use_rules(fix, "");
	assert_int_equal(rule_of(fix, f), -1);
}

static void rules_of_owner_and_age(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct stat st = {.st_uid = 4711};

	use_rules(fix, "[rule old]\nmin_age=1h\ntier=hdd\n[rule his]\nowner=4711\nignore=yes\n"
		       "[rule none]\n[rule never-asked]\ntier=ssd\n");
	assert_int_equal(rule_of(fix, f), 2); /* the exception: nothing is asked for */
	assert_int_equal(policy_of(fix, f, 0).tier, -1);
	assert_int_equal(policy_of(fix, f, 3599).rule, 2);
	assert_int_equal(policy_of(fix, f, 3600).rule, 0);
	assert_int_equal(policy_of(fix, f, UINT32_MAX).tier, 2);
	assert_int_equal(fs_setattr(fix->fs, f, FS_SET_UID, &st, &st), 0);
	assert_true(policy_of(fix, f, 0).ignore);
}

static void settings_go_before_rules(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "f", "data");
	struct object_policy policy;

	use_rules(fix, "[rule all]\ntier=hdd\nnever=ssd\ncodec=zstd:19\nignore=yes\n");
	policy = policy_of(fix, f, 0);
	assert_true(policy.ignore && policy.tier == 2 && policy.never_tiers == 1 << 1);
	assert_true(policy.has_codec && policy.codec.level == 19);
	assert_int_equal(SET(d, "codec", "lz4"), 0);
	policy = policy_of(fix, f, 0);
	assert_true(policy.ignore && policy.tier == 2);
	assert_int_equal(policy.codec.id, CODEC_LZ4);
	assert_int_equal(SET(d, "pin", "ssd"), 0);
	policy = policy_of(fix, f, 0);
	assert_true(!policy.ignore && policy.tier == -1 && !policy.never_tiers);
	assert_int_equal(policy.pin, 1);
	assert_int_equal(fs_removexattr(fix->fs, d, "user.terrace.pin"), 0);
	assert_int_equal(SET(f, "pin", "ram"), 0); /* where it is on disk, the rule still says */
	policy = policy_of(fix, f, 0);
	assert_true(policy.pin == 0 && policy.tier == 2 && !policy.ignore);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.pin"), 0);
	assert_int_equal(SET(f, "state", "archived"), 0);
	policy = policy_of(fix, f, 0);
	assert_true(!policy.ignore && policy.tier == -1 && !policy.never_tiers);
}

static void copies(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "f", "data");

	assert_int_equal(policy_of(fix, f, 0).replicas, 0);
	use_rules(fix, "[rule all]\nmatch=/d/*\nreplicas=4\n");
	assert_int_equal(policy_of(fix, f, 0).replicas, 4);
	assert_int_equal(SET(d, "replicas", "2"), 0);
	assert_int_equal(policy_of(fix, f, 0).replicas, 2);
	assert_int_equal(SET(f, "replicas", "5"), 0);
	assert_int_equal(policy_of(fix, f, 0).replicas, 5);
	assert_int_equal(SET(f, "codec", "lz4"), 0);
	assert_int_equal(SET(f, "replicas", "6"), -EINVAL);
	assert_int_equal(SET(f, "replicas", "0"), -EINVAL);
	assert_int_equal(SET(f, "replicas", "11"), -EINVAL);
	fix_fs_remount(fix);
	assert_int_equal(policy_of(fix, f, 0).replicas, 5);
	assert_int_equal(policy_of(fix, f, 0).codec.id, CODEC_LZ4);
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.replicas"), 0);
	assert_int_equal(policy_of(fix, f, 0).replicas, 2);
	assert_int_equal(fs_removexattr(fix->fs, d, "user.terrace.replicas"), 0);
	assert_int_equal(fs_removexattr(fix->fs, d, "user.terrace.replicas"), -ENODATA);
	fix_fs_remount(fix);
	assert_int_equal(policy_of(fix, f, 0).replicas, 0); /* rules are the test's own */
	assert_true(policy_of(fix, f, 0).has_codec);
}

/* Waits for what a setting has begun; false: it is not so after 10 s. */
static bool becomes(struct fix_fs *fix, uint64_t id, const char *name, const char *value)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (!strcmp(get(fix, id, name), value))
			return true;
		usleep(10000);
	}
	return false;
}

static void placed_at_once(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), e = fix_folder(fix, d, "e");
	uint64_t f = fix_file(fix, e, "f", "data"), g = fix_file(fix, d, "g", "more");
	uint64_t other = fix_file(fix, ROOT, "other", "data");
	struct inode *open;

	assert_int_equal(fs_fsync_all(fix->fs), 0);
	assert_string_equal(get(fix, f, "job"), "-");
	assert_int_equal(fs_file_open(fix->fs, f, O_RDWR, false, &open), 0);
	assert_int_equal(SET(d, "pin", "hdd"), 0);
	assert_true(atoi(get(fix, d, "job")) > 0);
	assert_true(becomes(fix, f, "tier", "hdd"));
	assert_true(becomes(fix, g, "tier", "hdd"));
	assert_string_equal(get(fix, other, "tier"), "ssd");
	assert_int_equal(SET(f, "pin", "ssd"), 0);
	assert_true(becomes(fix, f, "tier", "ssd"));
	fs_file_close(fix->fs, open, O_RDWR);
	assert_int_equal(SET(other, "state", "archived"), 0);
	assert_true(becomes(fix, other, "tier", "hdd"));
	/* Unpinned, it stays. */
	assert_int_equal(fs_removexattr(fix->fs, f, "user.terrace.pin"), 0);
	assert_int_equal(fs_removexattr(fix->fs, d, "user.terrace.pin"), 0);
	assert_string_equal(get(fix, f, "tier"), "ssd");
	assert_string_equal(get(fix, g, "tier"), "hdd");
	fix_content(fix, f, "data");
}

/* What is set on many files does not become as many jobs, and none is forgotten. */
static void many_placed(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t ids[200];
	char name[16];
	int jobs;

	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		ids[i] = fix_file(fix, ROOT, name, name);
	}
	assert_int_equal(fs_fsync_all(fix->fs), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(SET(ids[i], "pin", "hdd"), 0);
	jobs = atoi(get(fix, ids[199], "job"));
	assert_true(jobs > 0 && jobs < 150);
	for (unsigned i = 0; i < 200; i++)
		assert_true(becomes(fix, ids[i], "tier", "hdd"));
}

/* Nor do they push out what somebody asked for and waits for. */
static void asked_jobs_stay(void **state)
{
	static const char request[] = "{\"verb\":\"run\"}";
	struct fix_fs *fix = *state;
	uint64_t f = fix_file(fix, ROOT, "f", "data");
	struct control_file *file;
	struct stat st;
	char reply[64] = "", *text;
	size_t got;

	assert_int_equal(control_lookup(fix->fs->control, CONTROL_BASE, "jobs", &st), 0);
	assert_int_equal(control_lookup(fix->fs->control, st.st_ino, "new", &st), 0);
	assert_int_equal(control_open(fix->fs->control, st.st_ino, O_RDWR, &file), 0);
	assert_int_equal(control_write(file, request, strlen(request)), 0);
	assert_int_equal(control_read(file, reply, sizeof(reply) - 1, 0, &got), 0);
	control_close(file);
	text = strchr(reply, ':');
	assert_non_null(text);
	*strchrnul(++text, '}') = '\0';
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(SET(f, "pin", i % 2 ? "ssd" : "hdd"), 0);
		assert_true(becomes(fix, f, "tier", i % 2 ? "ssd" : "hdd"));
	}
	assert_int_equal(control_lookup(fix->fs->control, CONTROL_BASE, "jobs", &st), 0);
	assert_int_equal(control_lookup(fix->fs->control, st.st_ino, text, &st), 0);
}

/* The n-th field, from 0, of the n-th line of user.terrace.why; fields 11 and 12 are the texts. */
static const char *why(struct fix_fs *fix, uint64_t id, unsigned field)
{
	static char line[8192];
	char *at = line, *tab;

	snprintf(line, sizeof(line), "%s", get(fix, id, "why"));
	*strchrnul(line, '\n') = '\0';
	for (; field > 0 && field < 11; field--)
		at = strchr(at, ' ') + 1;
	for (; field >= 11; field--)
		at = strchr(at, '\t') + 1;
	tab = at + strcspn(at, *at && at > line && at[-1] == '\t' ? "\t" : " \t");
	*tab = '\0';
	return at;
}

static void whys(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d\tx"), f = fix_file(fix, d, "f", "data");

	assert_string_equal(get(fix, d, "why"), "-");
	assert_string_equal(why(fix, f, 0), "0");
	assert_string_equal(why(fix, f, 1), "4");
	assert_string_equal(why(fix, f, 2), "ram");
	assert_string_equal(why(fix, f, 11), "heat");
	assert_string_equal(why(fix, f, 12), "is written to a disk within commit_interval");
	assert_int_equal(fs_fsync_all(fix->fs), 0);
	assert_string_equal(why(fix, f, 2), "ssd");
	assert_memory_equal(why(fix, f, 3), "lz4", 3);
	assert_string_equal(why(fix, f, 7), "none");
	assert_string_equal(why(fix, f, 12), "stays");
	use_rules(fix, "[rule r]\nmatch=/d*/\ntier=hdd\n");
	assert_string_equal(why(fix, f, 7), "rule");
	assert_string_equal(why(fix, f, 9), "hdd");
	assert_string_equal(why(fix, f, 12), "goes to hdd, at the next pass");
	assert_non_null(strstr(why(fix, f, 11), "rule r ("));
	assert_non_null(strstr(why(fix, f, 11), "[rule r])"));
	use_rules(fix, "[rule r]\nmatch=/d*/\nignore=yes\n");
	assert_non_null(strstr(why(fix, f, 11), "rule r ("));
	assert_string_equal(why(fix, f, 8), "none"); /* it wants nothing that could be ignored */
	assert_int_equal(SET(d, "pin", "hdd"), 0);
	assert_true(becomes(fix, f, "tier", "hdd"));
	assert_string_equal(why(fix, f, 11), "pin hdd set on /d\\tx");
	assert_string_equal(why(fix, f, 12), "stays");
	assert_string_equal(get(fix, f, "effective.tier"), "hdd /d\tx");
	assert_int_equal(fs_removexattr(fix->fs, d, "user.terrace.pin"), 0);
	assert_int_equal(SET(f, "state", "archived"), 0);
	assert_string_equal(why(fix, f, 11), "state archived set on /d\\tx/f");
}

static void effective(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "f", "data");
	char expected[256];

	assert_string_equal(get(fix, f, "effective.pin"), "none default");
	assert_string_equal(get(fix, f, "effective.state"), "active default");
	assert_string_equal(get(fix, f, "effective.rule"), "none default");
	assert_string_equal(get(fix, f, "effective.tier"), "any default");
	assert_string_equal(get(fix, d, "effective.tier"), "any default");
	use_rules(fix, "[rule r]\nmatch=f\ntier=hdd\ncodec=lzma:3\n");
	snprintf(expected, sizeof(expected), "r %s",
		 pool_config(fix->pool.pool)->file ? pool_config(fix->pool.pool)->file : "(null)");
	assert_string_equal(get(fix, f, "effective.rule"), expected);
	assert_string_equal(get(fix, f, "effective.tier"), "hdd rule r");
	assert_string_equal(get(fix, f, "effective.codec"), "lzma:3 rule r");
	assert_string_equal(get(fix, d, "effective.rule"), "none default");
	assert_int_equal(SET(d, "state", "archived"), 0);
	assert_string_equal(get(fix, f, "effective.state"), "archived /d");
	assert_string_equal(get(fix, f, "effective.tier"), "hdd /d");
	use_rules(fix, "");
	assert_string_equal(get(fix, f, "effective.codec"), "zstd:19 /d");
	assert_int_equal(SET(f, "codec", "lz4"), 0);
	assert_string_equal(get(fix, f, "effective.codec"), "lz4 /d/f");
	assert_int_equal(SET(f, "pin", "ram"), 0);
	assert_string_equal(get(fix, f, "effective.tier"), "ram /d/f");
}

struct asker {
	struct fix_fs *fix;
	uint64_t id;
	_Atomic bool stop;
	unsigned wrong;
};

static void *ask_on(void *arg)
{
	struct asker *asker = arg;

	while (!asker->stop) {
		struct object_policy policy = policy_of(asker->fix, asker->id, 0);

		/* Of one set or the other, and of one name or the other, never a mix. */
		asker->wrong += policy.rule >= 0 && (policy.tier == 2) != (policy.rule == 1);
	}
	return NULL;
}

/* Rules change and folders are renamed while files are asked about. */
static void at_once(void **state)
{
	struct fix_fs *fix = *state;
	uint64_t d = fix_folder(fix, ROOT, "d"), f = fix_file(fix, d, "f", "data");
	struct asker asker = {.fix = fix, .id = f};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask_on, &asker), 0);
	for (unsigned i = 0; i < 300; i++) {
		use_rules(fix, i % 2 ? "[rule a]\nmatch=/x/\n[rule b]\nmatch=/d/\ntier=hdd\n"
				     : "[rule a]\nmatch=/d/\n");
		assert_int_equal(
			fs_rename(fix->fs, ROOT, i % 2 ? "e" : "d", ROOT, i % 2 ? "d" : "e", 0), 0);
		assert_int_equal(policy_of(fix, f, 0).rule, i % 2 ? 1 : -1);
	}
	asker.stop = true;
	pthread_join(thread, NULL);
	assert_int_equal(asker.wrong, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fix_fs_setup, fix_fs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(inheritance),
					   TEST(kept),
					   TEST(refused),
					   TEST(reports),
					   TEST(flags),
					   TEST(the_engines_word),
					   TEST(states),
					   TEST(rules_match),
					   TEST(rules_of_owner_and_age),
					   TEST(settings_go_before_rules),
					   TEST(copies),
					   TEST(placed_at_once),
					   TEST(many_placed),
					   TEST(asked_jobs_stay),
					   TEST(whys),
					   TEST(effective),
					   TEST(at_once)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fix_break_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "fs/inode.h"
#include "fs/policy.h"
#include "tiers/extmap.h"
#include "tiers/pool_impl.h"
#include "tiers/tier_label.h"

/* Names ------------------------------------------------------------------------------------------
 */

static void dentry_put(struct edit *edit, uint64_t folder, uint64_t cookie, const void *value,
		       size_t len)
{
	uint8_t key[KEY_LEN_2];

	edit_put(edit, key, key_2(key, KEY_DENTRY, folder, cookie), value, len);
}

static void dentry_del(struct edit *edit, uint64_t folder, uint64_t cookie)
{
	uint8_t key[KEY_LEN_2];

	edit_del(edit, key, key_2(key, KEY_DENTRY, folder, cookie));
}

/* How a name of the root is broken: its value, then where it is. */
static void name_change(struct fix_break_pool *pool, const char *name,
			void (*change)(struct edit *edit, uint64_t cookie, uint8_t *value,
				       size_t len))
{
	uint8_t value[300];
	struct edit edit;
	uint64_t cookie;
	size_t len;

	edit_begin(pool, &edit);
	len = name_get(pool, &edit, ROOT, name, &cookie, value);
	change(&edit, cookie, value, len);
	edit_end(&edit);
}

static void name_cut(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	(void)len;
	dentry_put(edit, ROOT, cookie, value, 3);
}

/* Also with what no terminal should get, and no UTF-8. */
static void name_slash(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	value[9] = '\033';
	value[10] = '/';
	value[11] = 0xff;
	dentry_put(edit, ROOT, cookie, value, len);
}

static void name_to_nothing(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	put_le64(value, NOBODY);
	dentry_put(edit, ROOT, (cookie & ~0xffull) + 1, value, len); /* a second one, by hash */
}

static void name_type(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	value[8] = DT_FIFO;
	dentry_put(edit, ROOT, cookie, value, len);
}

static void name_moved(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_del(edit, ROOT, cookie);
	dentry_put(edit, ROOT, cookie ^ 0x100, value, len);
}

static void name_gap(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_del(edit, ROOT, cookie);
	dentry_put(edit, ROOT, cookie + 2, value, len);
}

static void name_twice(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_put(edit, ROOT, cookie + 1, value, len);
}

/* A bad name with a good one behind it in its group. */
static void name_before(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	dentry_put(edit, ROOT, cookie + 1, value, len);
	value[10] = '/';
	dentry_put(edit, ROOT, cookie, value, len);
}

static void name_gone(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	(void)value;
	(void)len;
	dentry_del(edit, ROOT, cookie);
}

static void name_kept(struct edit *edit, uint64_t cookie, uint8_t *value, size_t len)
{
	(void)len;
	memset(value, 0, 9);
	dentry_put(edit, ROOT, cookie + 1, value, 9);
}

void break_name_cut(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_cut);
}

void break_name_slash(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_slash);
}

void break_name_before(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_before);
}

void break_name_kept(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_kept);
}

/* A name that leads nowhere, where a look-up finds it. */
void break_dangling(struct fix_break_pool *pool)
{
	struct dir dir = {
		.seed = get_le64(pool->fix.pool.config.uuid), .mask = UINT64_MAX, .id = pool->dir};
	struct dir_name name;
	uint8_t value[32] = {0};
	struct edit edit;

	assert_int_equal(dir_name_init(&name, "ghost"), 0);
	put_le64(value, NOBODY);
	value[8] = DT_REG;
	memcpy(value + 9, "ghost", 5);
	edit_begin(pool, &edit);
	dentry_put(&edit, pool->dir, dir_cookie(&dir, &name), value, 14);
	edit_end(&edit);
}

void break_dangling_twice(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_to_nothing);
}

void break_type(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_type);
}

void break_cookie(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_moved);
}

void break_gap(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_gap);
}

void break_twice(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_twice);
}

void break_nameless(struct fix_break_pool *pool)
{
	name_change(pool, "small", name_gone);
}

void break_nameless_folder(struct fix_break_pool *pool)
{
	name_change(pool, "dir", name_gone);
}

void break_folder_missing(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_del_one(pool, key, key_1(key, KEY_OBJECT, pool->sub));
}

static void set_links(struct attr *attr, uint64_t arg)
{
	attr->nlink = (uint32_t)arg;
}

static void set_mode(struct attr *attr, uint64_t arg)
{
	attr->mode = (uint32_t)arg;
}

static void set_special(struct attr *attr, uint64_t arg)
{
	attr->special = arg;
}

static void set_flags(struct attr *attr, uint64_t arg)
{
	attr->flags = (uint32_t)arg;
}

static void set_parent(struct attr *attr, uint64_t arg)
{
	attr->parent = arg;
}

void break_mode(struct fix_break_pool *pool)
{
	attr_change(pool, pool->large, set_mode, 0644);
}

void break_links(struct fix_break_pool *pool)
{
	attr_change(pool, pool->inner, set_links, 7);
}

void break_folder_links(struct fix_break_pool *pool)
{
	attr_change(pool, pool->dir, set_links, 2);
}

void break_link_len(struct fix_break_pool *pool)
{
	attr_change(pool, pool->link, set_special, 99);
}

void break_flags(struct fix_break_pool *pool)
{
	attr_change(pool, pool->attrs, set_flags, 0);
}

void break_setting_flag(struct fix_break_pool *pool)
{
	attr_change(pool, pool->pinned, set_flags, 0);
}

void break_parent(struct fix_break_pool *pool)
{
	attr_change(pool, pool->small, set_parent, pool->sub);
}

void break_folder_parent(struct fix_break_pool *pool)
{
	attr_change(pool, pool->sub, set_parent, ROOT);
}

void break_root_type(struct fix_break_pool *pool)
{
	attr_change(pool, ROOT, set_mode, S_IFREG | 0644);
}

void break_root(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_del_one(pool, key, key_1(key, KEY_OBJECT, ROOT));
}

void break_orphan_named(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_put_one(pool, key, key_1(key, KEY_ORPHAN, pool->small), "", 0);
}

static void folder_name_put(struct fix_break_pool *pool, struct edit *edit, uint64_t folder,
			    uint64_t id, const char *text)
{
	struct dir dir = {
		.seed = get_le64(pool->fix.pool.config.uuid), .mask = UINT64_MAX, .id = folder};
	struct dir_name name;
	uint8_t value[64] = {0};

	assert_int_equal(dir_name_init(&name, text), 0);
	put_le64(value, id);
	value[8] = DT_DIR;
	memcpy(value + 9, text, name.len);
	dentry_put(edit, folder, dir_cookie(&dir, &name), value, 9 + name.len);
}

void break_folder_names(struct fix_break_pool *pool)
{
	struct edit edit;

	edit_begin(pool, &edit);
	folder_name_put(pool, &edit, ROOT, pool->sub, "second");
	edit_end(&edit);
}

void break_loop(struct fix_break_pool *pool)
{
	uint8_t value[300];
	struct edit edit;
	uint64_t cookie;

	edit_begin(pool, &edit);
	name_get(pool, &edit, ROOT, "dir", &cookie, value);
	dentry_del(&edit, ROOT, cookie);
	folder_name_put(pool, &edit, pool->sub, pool->dir, "dir");
	edit_end(&edit);
	attr_change(pool, pool->dir, set_parent, pool->sub);
}

void break_target(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_del_one(pool, key, key_1(key, KEY_SYMLINK, pool->link));
}

void break_target_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1];

	edit_put_one(pool, key, key_1(key, KEY_SYMLINK, NOBODY), "nowhere", 7);
}

void break_xattr_alone(struct fix_break_pool *pool)
{
	uint8_t key[KEY_LEN_1 + 6];

	key_1(key, KEY_XATTR, NOBODY);
	memcpy(key + KEY_LEN_1, "user.x", 6);
	edit_put_one(pool, key, sizeof(key), "y", 1);
}

void break_setting(struct fix_break_pool *pool)
{
	uint8_t key[19], value[65] = {1};

	memcpy(key, "Pfs.policy.", 11);
	put_be64(key + 11, NOBODY);
	edit_put_one(pool, key, sizeof(key), value, sizeof(value));
}

void break_job(struct fix_break_pool *pool)
{
	static const char record[] =
		"\1{\"job\":1,\"verb\":\"run\",\"state\":\"queued\",\"parts\":3}";
	uint8_t key[18] = {0};

	memcpy(key, "Pfs.job.", 8);
	put_be64(key + 8, 1);
	edit_put_one(pool, key, sizeof(key), record, sizeof(record) - 1);
}

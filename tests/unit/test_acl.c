// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "compress/bytes.h"
#include "fs/acl.h"

struct acl {
	uint8_t buf[256];
	size_t len;
};

static void begin(struct acl *acl)
{
	put_le32(acl->buf, 2);
	acl->len = 4;
}

static void add(struct acl *acl, unsigned tag, unsigned perm, uint32_t id)
{
	put_le16(acl->buf + acl->len, (uint16_t)tag);
	put_le16(acl->buf + acl->len + 2, (uint16_t)perm);
	put_le32(acl->buf + acl->len + 4, id);
	acl->len += 8;
}

/* u::uo u:1000:rwx g::go [m::mask] o::oo */
static void extended(struct acl *acl, unsigned uo, unsigned go, unsigned mask, unsigned oo)
{
	begin(acl);
	add(acl, 0x01, uo, UINT32_MAX);
	add(acl, 0x02, 7, 1000);
	add(acl, 0x04, go, UINT32_MAX);
	add(acl, 0x10, mask, UINT32_MAX);
	add(acl, 0x20, oo, UINT32_MAX);
}

static void minimal(struct acl *acl, unsigned uo, unsigned go, unsigned oo)
{
	begin(acl);
	add(acl, 0x01, uo, UINT32_MAX);
	add(acl, 0x04, go, UINT32_MAX);
	add(acl, 0x20, oo, UINT32_MAX);
}

static void checks(void **state)
{
	struct acl acl;

	(void)state;
	extended(&acl, 7, 5, 7, 5);
	assert_int_equal(acl_check(acl.buf, acl.len), 0);
	for (size_t len = 0; len < acl.len; len++) /* cut anywhere: refused, or "remove" */
		assert_true(acl_check(acl.buf, len) == (len == 4 ? 0 : -EINVAL));
	acl.buf[0] = 1;
	assert_int_equal(acl_check(acl.buf, acl.len), -ENOTSUP);
	minimal(&acl, 7, 8, 0);
	assert_int_equal(acl_check(acl.buf, acl.len), -EINVAL); /* permission bits */
	begin(&acl);
	add(&acl, 0x04, 7, 0);
	add(&acl, 0x01, 7, 0);
	add(&acl, 0x20, 7, 0);
	assert_int_equal(acl_check(acl.buf, acl.len), -EINVAL); /* order */
	begin(&acl);
	add(&acl, 0x01, 7, 0);
	add(&acl, 0x02, 7, 1);
	add(&acl, 0x04, 7, 0);
	add(&acl, 0x20, 7, 0);
	assert_int_equal(acl_check(acl.buf, acl.len), -EINVAL); /* a named user needs a mask */
	assert_int_equal(acl_check(acl.buf, ACL_LEN_MAX + 8), -E2BIG);
}

static void modes(void **state)
{
	struct acl acl;
	bool is_minimal;

	(void)state;
	minimal(&acl, 6, 4, 1);
	assert_int_equal(acl_to_mode(acl.buf, acl.len, &is_minimal), 0641);
	assert_true(is_minimal);
	extended(&acl, 6, 7, 4, 1);
	assert_int_equal(acl_to_mode(acl.buf, acl.len, &is_minimal), 0641); /* the mask shows */
	assert_false(is_minimal);
	acl_set_mode(acl.buf, acl.len, 0750);
	assert_int_equal(acl_to_mode(acl.buf, acl.len, &is_minimal), 0750);
	assert_int_equal(get_le16(acl.buf + 4 + 2 * 8 + 2), 7); /* chmod leaves the group's own */
	minimal(&acl, 0, 0, 0);
	acl_set_mode(acl.buf, acl.len, 0753);
	assert_int_equal(acl_to_mode(acl.buf, acl.len, &is_minimal), 0753);
}

static void inheritance(void **state)
{
	struct acl acl;
	bool is_minimal;

	(void)state;
	extended(&acl, 7, 5, 7, 5);
	assert_int_equal(acl_inherit(acl.buf, acl.len, 0640), 0640);
	assert_int_equal(acl_to_mode(acl.buf, acl.len, &is_minimal), 0640);
	assert_int_equal(get_le16(acl.buf + 4 + 2 * 8 + 2), 5);
	minimal(&acl, 7, 0, 5);
	assert_int_equal(acl_inherit(acl.buf, acl.len, 0666), 0604);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(checks), cmocka_unit_test(modes),
					   cmocka_unit_test(inheritance)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

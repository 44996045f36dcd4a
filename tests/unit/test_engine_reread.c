// SPDX-License-Identifier: Apache-2.0
/* Evidence: what is read again, and what is only passed by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/fix_bytes.h"
#include "tiers/engine/heat.h"
#include "tiers/engine/reread.h"

#define NOW    1000000u
#define WINDOW 600u
#define KIB    UINT64_C(1024)

static int fresh(void **state)
{
	struct reread *reread;
	int rc = reread_new(&reread);

	*state = reread;
	return rc;
}

static int release(void **state)
{
	reread_free(*state);
	return 0;
}

static bool note(void **state, uint64_t object, uint64_t off, uint32_t now_s)
{
	return reread_note(*state, object, off, false, now_s, WINDOW);
}

static void test_a_second_look_is_evidence(void **state)
{
	assert_false(note(state, 1, 0, NOW));
	assert_false(note(state, 1, 0, NOW + HEAT_SAME_TOUCH_S)); /* the same touch */
	assert_true(note(state, 1, 0, NOW + HEAT_SAME_TOUCH_S + 1));
	assert_true(note(state, 1, 0, NOW + 100));
	assert_true(note(state, 1, 0, NOW + 100 + WINDOW));
	assert_false(note(state, 1, 0, NOW + 101 + 2 * WINDOW)); /* too long ago */
	assert_true(note(state, 1, 0, NOW + 110 + 2 * WINDOW));
}

static void test_pieces_and_objects_are_told_apart(void **state)
{
	assert_false(note(state, 1, 0, NOW));
	assert_false(note(state, 2, 0, NOW + 10));
	assert_false(note(state, 1, REREAD_PIECE, NOW + 10));
	assert_true(note(state, 1, REREAD_PIECE - 1, NOW + 10));
}

static void test_what_is_read_every_second_is_read_again(void **state)
{
	unsigned evidence = 0;

	for (uint32_t s = 0; s < 60; s++)
		evidence += note(state, 1, 0, NOW + s);
	assert_int_equal(evidence, 19);
}

static void test_a_scan_is_noted_and_no_evidence(void **state)
{
	assert_false(reread_note(*state, 1, 0, true, NOW, WINDOW));
	assert_false(reread_note(*state, 1, 0, true, NOW + 100, WINDOW));
	assert_true(note(state, 1, 0, NOW + 200));
	assert_false(reread_note(*state, 1, 0, true, NOW + 300, WINDOW));
}

static void test_a_scan_pushes_out_nothing_of_use(void **state)
{
	unsigned kept = 0;

	for (uint64_t i = 0; i < 1000; i++)
		note(state, 7, i * REREAD_PIECE, NOW);
	for (uint64_t i = 0; i < 4 * REREAD_ENTRIES; i++)
		reread_note(*state, 8, i * REREAD_PIECE, true, NOW + 10, WINDOW);
	for (uint64_t i = 0; i < 1000; i++)
		kept += note(state, 7, i * REREAD_PIECE, NOW + 20);
	assert_int_equal(kept, 1000);
	/* But what is read by chance is noted, though the table is full of scans. */
	assert_false(note(state, 9, 0, NOW + 20));
	assert_true(note(state, 9, 0, NOW + 30));
}

static void test_a_first_pass_in_any_order_is_no_evidence(void **state)
{
	unsigned evidence = 0;

	for (uint64_t i = 0; i < 200000; i++)
		evidence += note(state, i % 1000, i / 1000 * REREAD_PIECE, NOW + (uint32_t)i / 500);
	assert_in_range(evidence, 0, 1);
}

static void test_a_clock_set_back_does_no_harm(void **state)
{
	assert_false(note(state, 1, 0, NOW));
	assert_false(note(state, 1, 0, NOW - 5000));
	assert_true(note(state, 1, 0, NOW - 4990));
	assert_false(reread_note(*state, 1, 0, false, NOW - 4900, 0)); /* a window of nothing */
}

/* Runs ----------------------------------------------------------------------------------------- */

static void test_going_on_is_a_scan_after_a_while(void **state)
{
	struct reread_run run = {0};

	(void)state;
	for (uint64_t off = 0; off < 4096 * KIB; off += 128 * KIB)
		assert_int_equal(reread_is_scan(&run, off, 128 * KIB),
				 off + 128 * KIB >= REREAD_SCAN_BYTES);
	assert_false(reread_is_scan(&run, 0, 128 * KIB)); /* from the start: a new run */
	assert_false(
		reread_is_scan(&run, 64 * 1024 * KIB, 1024 * KIB)); /* one large read is none */
	assert_true(reread_is_scan(&run, 65 * 1024 * KIB, 1024 * KIB));
}

/* Two threads answer the kernel's read-ahead: each second read comes before the one it follows. */
static void test_a_scan_out_of_order_is_one(void **state)
{
	struct reread_run run = {0};
	unsigned seen = 0;

	(void)state;
	for (uint64_t i = 0; i < 64; i++)
		seen += reread_is_scan(&run, (i ^ 1) * 128 * KIB, 128 * KIB);
	assert_in_range(seen, 50, 64);
}

static void test_reads_here_and_there_are_no_scan(void **state)
{
	static const uint64_t sizes[] = {100, 800, 1500, 3000, 64 * 1024, 1024 * 1024};
	uint64_t seed = 3;

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct reread_run run = {0};
		unsigned seen = 0;

		for (unsigned k = 0; k < 100000; k++) {
			uint64_t off = bytes_random(&seed) % (sizes[i] / 4) * 4 * KIB;

			seen += reread_is_scan(&run, off, 4 * KIB);
		}
		assert_int_equal(seen, 0);
	}
}

static void test_reading_a_file_again_is_not_its_scan(void **state)
{
	struct reread_run run = {0};

	(void)state;
	for (uint64_t off = 0; off < 1200 * KIB; off += 4 * KIB)
		reread_is_scan(&run, off, 4 * KIB);
	assert_false(reread_is_scan(&run, 1000 * KIB, 4 * KIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_second_look_is_evidence, fresh, release),
		cmocka_unit_test_setup_teardown(test_pieces_and_objects_are_told_apart, fresh,
						release),
		cmocka_unit_test_setup_teardown(test_what_is_read_every_second_is_read_again, fresh,
						release),
		cmocka_unit_test_setup_teardown(test_a_scan_is_noted_and_no_evidence, fresh,
						release),
		cmocka_unit_test_setup_teardown(test_a_scan_pushes_out_nothing_of_use, fresh,
						release),
		cmocka_unit_test_setup_teardown(test_a_first_pass_in_any_order_is_no_evidence,
						fresh, release),
		cmocka_unit_test_setup_teardown(test_a_clock_set_back_does_no_harm, fresh, release),
		cmocka_unit_test(test_going_on_is_a_scan_after_a_while),
		cmocka_unit_test(test_a_scan_out_of_order_is_one),
		cmocka_unit_test(test_reads_here_and_there_are_no_scan),
		cmocka_unit_test(test_reading_a_file_again_is_not_its_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* The ring of events: numbers, what is dropped, many who add, and the listener. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tiers/engine/events.h"

static void add(struct events *events, uint64_t object)
{
	struct event event = {.kind = EVENT_MOVE, .object = object, .from = 1, .to = 2};

	events_add(events, &event);
}

static void test_events_are_numbered_and_kept_in_order(void **state)
{
	struct events *events;
	struct event event;
	uint64_t missed;

	(void)state;
	assert_int_equal(events_new(&events), 0);
	assert_int_equal(events_get(events, 0, &event, &missed), -ENOENT);
	assert_int_equal(events_last(events), 0);
	for (uint64_t i = 1; i <= 5; i++)
		add(events, 100 + i);
	assert_int_equal(events_last(events), 5);
	for (uint64_t i = 0; i < 5; i++) {
		int64_t before = i ? event.time_ns : 0;

		assert_int_equal(events_get(events, i, &event, &missed), 0);
		assert_int_equal(event.number, i + 1);
		assert_int_equal(event.object, 101 + i);
		assert_int_equal(missed, 0);
		assert_true(event.time_ns >= before && event.time_ns > 1000000000);
	}
	assert_int_equal(events_get(events, 5, &event, &missed), -ENOENT);
	assert_int_equal(events_get(events, UINT64_MAX, &event, &missed), -ENOENT);
	events_free(events);
}

static void test_a_slow_reader_is_told_what_he_missed(void **state)
{
	struct events *events;
	struct event event;
	uint64_t missed;

	(void)state;
	assert_int_equal(events_new(&events), 0);
	for (uint64_t i = 1; i <= EVENTS_KEPT; i++)
		add(events, i);
	assert_int_equal(events_get(events, 0, &event, &missed), 0);
	assert_int_equal(event.number, 1);
	assert_int_equal(missed, 0);
	for (uint64_t i = 1; i <= 10; i++)
		add(events, EVENTS_KEPT + i);
	assert_int_equal(events_get(events, 3, &event, &missed), 0);
	assert_int_equal(event.number, 11); /* 4 to 10 are gone */
	assert_int_equal(event.object, 11);
	assert_int_equal(missed, 7);
	assert_int_equal(events_get(events, 10, &event, &missed), 0);
	assert_int_equal(event.number, 11);
	assert_int_equal(missed, 0);
	assert_int_equal(events_get(events, EVENTS_KEPT + 9, &event, &missed), 0);
	assert_int_equal(event.object, EVENTS_KEPT + 10);
	events_free(events);
}

static void test_text_always_ends(void **state)
{
	struct event event = {.kind = EVENT_CONFIG};
	struct events *events;
	uint64_t missed;

	(void)state;
	assert_int_equal(events_new(&events), 0);
	memset(event.text, 'x', sizeof(event.text));
	events_add(events, &event);
	assert_int_equal(events_get(events, 0, &event, &missed), 0);
	assert_int_equal(strlen(event.text), sizeof(event.text) - 1);
	events_free(events);
}

#define ADDERS	 4
#define ADD_EACH 5000u

struct listener {
	struct events *events;
	_Atomic unsigned woken;
	_Atomic bool slow, gone, late;
};

/* Reads from within: wake() must not run under the ring's lock. */
static void wake(void *arg)
{
	struct listener *listener = arg;

	atomic_fetch_add(&listener->woken, 1);
	if (atomic_load(&listener->slow))
		usleep(20000);
	if (!events_last(listener->events) || atomic_load(&listener->gone))
		atomic_store(&listener->late, true);
}

static void *adder(void *arg)
{
	for (unsigned i = 0; i < ADD_EACH; i++)
		add(arg, i);
	return NULL;
}

static void test_every_event_wakes_the_listener_until_it_is_taken_away(void **state)
{
	struct listener listener = {.woken = 0};
	pthread_t threads[ADDERS];
	uint64_t after = 0, seen = 0, lost = 0, missed;
	struct event event;

	(void)state;
	assert_int_equal(events_new(&listener.events), 0);
	events_wake_set(listener.events, wake, &listener);
	for (unsigned i = 0; i < ADDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, adder, listener.events), 0);
	while (seen + lost < ADDERS * ADD_EACH) {
		if (events_get(listener.events, after, &event, &missed))
			continue;
		assert_int_equal(event.number, after + missed + 1);
		after = event.number;
		seen++;
		lost += missed;
	}
	for (unsigned i = 0; i < ADDERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(events_last(listener.events), ADDERS * ADD_EACH);
	assert_int_equal(listener.woken, ADDERS * ADD_EACH);
	atomic_store(&listener.slow, true);
	assert_int_equal(pthread_create(&threads[0], NULL, adder, listener.events), 0);
	while (listener.woken == ADDERS * ADD_EACH)
		;
	events_wake_set(listener.events, NULL, NULL);
	atomic_store(&listener.gone, true);
	pthread_join(threads[0], NULL);
	assert_false(listener.late);
	events_free(listener.events);
}

static void test_kinds_have_names(void **state)
{
	(void)state;
	assert_string_equal(event_kind_name(EVENT_MOVE), "move");
	assert_string_equal(event_kind_name(EVENT_CONFIG), "config");
	assert_string_equal(event_kind_name(EVENT_KINDS), "?");
	for (unsigned kind = 0; kind < EVENT_KINDS; kind++)
		assert_true(strlen(event_kind_name(kind)) > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_are_numbered_and_kept_in_order),
		cmocka_unit_test(test_a_slow_reader_is_told_what_he_missed),
		cmocka_unit_test(test_text_always_ends),
		cmocka_unit_test(test_every_event_wakes_the_listener_until_it_is_taken_away),
		cmocka_unit_test(test_kinds_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

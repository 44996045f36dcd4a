// SPDX-License-Identifier: Apache-2.0
/*
 * Any text as a time window: no crash; an error has one line of message, that says "should be", and
 * leaves nothing open; what is accepted opens at some time, and then when it says.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/engine/window.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refused(const struct window *window, const char *why)
{
	if (!strstr(why, "should be") || strchr(why, '\n'))
		abort();
	if (window_wait_s(window, 0) != UINT32_MAX)
		abort();
}

static void check_times(const struct window *window)
{
	for (uint64_t now = 0; now < 7 * 86400; now += 899) {
		uint32_t wait = window_wait_s(window, now);

		if (wait >= 7 * 86400 || !window_open(window, now + wait))
			abort();
		if (wait && window_open(window, now + wait - 1))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), why[160] = "";
	struct window window, again;
	int rc;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	rc = window_parse(text, &window, why, sizeof(why));
	if (rc != 0 && rc != -EINVAL)
		abort();
	if (rc)
		check_refused(&window, why);
	else
		check_times(&window);
	/* Little room for the message changes nothing else. */
	if (window_parse(text, &again, why, 4) != rc || memcmp(&window, &again, sizeof(window)))
		abort();
	free(text);
	return 0;
}

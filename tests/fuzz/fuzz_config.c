// SPDX-License-Identifier: Apache-2.0
/*
 * Any bytes as a configuration: no crash, no leak, an error has one line of message, and what is
 * accepted is written and read back to the same text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tiers/config_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool_config config, again;
	char message[512], *text = NULL, *text_again = NULL;
	size_t len, len_again;

	if (config_parse_text("/fuzz.conf", (const char *)data, size, &config, message,
			      sizeof(message))) {
		if (!message[0] || strchr(message, '\n'))
			abort();
		return 0;
	}
	if (config_print(&config, &text, &len))
		abort();
	if (config_parse_text("/fuzz.conf", text, len, &again, message, sizeof(message)) ||
	    config_print(&again, &text_again, &len_again))
		abort();
	if (len != len_again || memcmp(text, text_again, len) != 0)
		abort();
	free(text);
	free(text_again);
	config_release(&config);
	config_release(&again);
	return 0;
}

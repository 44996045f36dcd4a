/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says about memory: /proc/meminfo, /proc/pressure/memory, and the version 2
 * control groups that this process is in. Reads a handful of small files; cannot fail: what cannot
 * be read counts as no limit and no pressure.
 */
#ifndef TERRACE_TIERS_MEMORY_FACTS_H
#define TERRACE_TIERS_MEMORY_FACTS_H

#include <stdint.h>

struct memory_facts {
	uint64_t total;	    /* bytes this process may ever have: of the machine or of its groups;
			       0: not known */
	uint64_t available; /* of them, without swapping, as of now */
	double some, full;  /* percent of the last 10 s in which some, all processes stalled for
			       memory */
};

/* root: "" (tests: a folder that holds proc/ and sys/). */
void memory_facts_read(const char *root, struct memory_facts *out);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault injection at the io seam: the n-th call of the chosen kinds fails, once or from then on.
 *
 *	for (n = 1;; n++) {
 *		fault_arm(FAULT_ALL, n, FAULT_EIO, forever);
 *		run();
 *		if (!fault_disarm())
 *			break;	// n was past the last call: an untouched run
 *		check();
 *	}
 *
 * A failed fdatasync/fsync also forgets nothing by itself: the double only lies about results.
 * Threads: calls may come from any; arm and disarm only while none do.
 */
#ifndef TERRACE_TESTS_FIX_FAULT_H
#define TERRACE_TESTS_FIX_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_call { /* bits: which calls are counted and may fail */
		  FAULT_OPEN = 1u << 0,
		  FAULT_CLOSE = 1u << 1,
		  FAULT_PREAD = 1u << 2,
		  FAULT_PWRITE = 1u << 3,
		  FAULT_SYNC = 1u << 4, /* fdatasync, fsync */
		  FAULT_TRUNCATE = 1u << 5,
		  FAULT_ALLOCATE = 1u << 6,
		  FAULT_STAT = 1u << 7,
		  FAULT_NAMES = 1u << 8, /* mkdir, rename, unlink */
		  FAULT_AIO = 1u << 9,	 /* one count per submit and per event */
		  FAULT_ALL = (1u << 10) - 1,
};

enum fault_kind {
	FAULT_EIO,
	FAULT_ENOSPC,
	FAULT_SHORT, /* half of the transfer is done; calls that transfer nothing are not touched */
	FAULT_EINTR, /* only pread, pwrite, open, fdatasync, fsync; forever means twice */
};

void fault_arm(unsigned calls, uint64_t nth, enum fault_kind kind, bool forever);
/* Puts the system's calls back; returns how many calls were failed. */
uint64_t fault_disarm(void);
/* Calls of the chosen kinds counted since fault_arm(). */
uint64_t fault_calls(void);
/* Open descriptors of this process, to find leaks. */
int fault_open_fds(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power loss at the io seam: from the n-th call on the machine is dead (every call fails with EIO
 * and does nothing); cut_apply() then decides what became of what was not synced.
 *
 *	for (n = 1;; n++) {
 *		cut_arm(n, seed);
 *		run();		// errors expected
 *		if (!cut_apply(CUT_LOST))
 *			break;	// n was past the last call
 *		check();
 *	}
 *
 * Writes: kept, lost, or torn (each 512-byte sector for itself), whatever the file is called by
 * then. Names: new files, renames and removals since the last sync of their folder are kept, or all
 * undone. Allocations, lengths and new folders count as kept at once. Only files opened for writing
 * under the folder given are covered.
 */
#ifndef TERRACE_TESTS_FIX_CUT_H
#define TERRACE_TESTS_FIX_CUT_H

#include <stdbool.h>
#include <stdint.h>

enum cut_kind { CUT_KEPT, CUT_LOST, CUT_TORN };

void cut_arm(const char *folder, uint64_t nth, uint64_t seed);
/* Only the process died: another one goes on, and what was not synced still is not. */
void cut_revive(void);
/* After everything is closed: puts the system's calls back. True when the power did go. */
bool cut_apply(enum cut_kind kind);

#endif

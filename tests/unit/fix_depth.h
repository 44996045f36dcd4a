/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far apart the tries of a loop over faults and power cuts lie. A build for coverage
 * (tests/coverage.sh) asks which lines run, not in how many orders: fewer will do, and a loop that
 * runs into its time limit loses its counts.
 */
#ifndef TERRACE_TESTS_FIX_DEPTH_H
#define TERRACE_TESTS_FIX_DEPTH_H

#ifdef TERRACE_COVERAGE
#define TRIES_APART 7u /* odd: loops that do one thing at odd and another at even calls do both */
#else
#define TRIES_APART 1u
#endif

#endif

// SPDX-License-Identifier: Apache-2.0
/* Keeps the fixtures library non-empty; each test double lives in its own fix_*.c. */
extern const char fixtures_library[];
const char fixtures_library[] = "terrace test fixtures";

/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, tables, JSON: the daemon prints with the same functions, so its files look the same. */
#ifndef TERRACE_TOOLS_TEXT_H
#define TERRACE_TOOLS_TEXT_H

#include "fs/text.h"

#endif

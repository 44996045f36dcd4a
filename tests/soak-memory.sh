#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon's memory after writing and reading 5 GiB and 200,000 files: t-memory.sh at full size.
export TERRACE_BUILD=${TERRACE_BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build/release}
TERRACE_SOAK_MB=5120 TERRACE_SOAK_FILES=200000 exec "$(dirname "$0")/mount/t-memory.sh"

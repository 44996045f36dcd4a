#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Two real power cuts, as tests/power-cut.sh makes them for as long as one likes.
TERRACE_FILES=60 exec bash "$(dirname "$0")/../power-cut.sh" 2

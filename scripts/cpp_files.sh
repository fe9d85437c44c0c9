#!/usr/bin/env bash
# Lists the project's own C++ files, each ended by a zero byte.
set -euo pipefail
source "$(dirname "$0")/common.sh"
find amgsrn_core paraview_plugin tests -type f \( -name '*.cc' -o -name '*.cxx' -o -name '*.cpp' -o -name '*.h' \) -print0

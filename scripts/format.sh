#!/usr/bin/env bash
# Formats the Python and C++ sources in place.
set -euo pipefail
source "$(dirname "$0")/common.sh"
"$python" -m ruff check --fix --exit-zero --quiet .
"$python" -m ruff format .
scripts/cpp_files.sh | xargs -0 --no-run-if-empty clang-format -i

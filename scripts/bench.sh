#!/usr/bin/env bash
# Runs the benchmarks; arguments are those of `python -m benchmarks`.
set -euo pipefail
source "$(dirname "$0")/common.sh"
scripts/setup.sh --quiet
exec "$python" -m benchmarks "$@"

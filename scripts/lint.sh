#!/usr/bin/env bash
# Checks style and types of everything; tells all that is wrong, not just the first.
set -uo pipefail
source "$(dirname "$0")/common.sh"

failed=()
check() {
  local name=$1
  shift
  echo "-- $name"
  "$@" || failed+=("$name")
}

check "ruff check" "$python" -m ruff check .
check "ruff format" "$python" -m ruff format --check .
check "mypy" "$python" -m mypy
check "clang-format" bash -c 'scripts/cpp_files.sh | xargs -0 --no-run-if-empty clang-format --dry-run -Werror'
check "shellcheck" shellcheck scripts/*.sh .ci/run
[ ${#failed[@]} -eq 0 ] || fail 1 "Not in order: ${failed[*]} (make format repairs what is only format)"

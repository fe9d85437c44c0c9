#!/usr/bin/env bash
# Sets up, then runs every check and test. Arguments go to pytest: scripts/test.sh -k reader
set -uo pipefail
source "$(dirname "$0")/common.sh"

scripts/setup.sh || exit $?

lint=0
scripts/lint.sh || lint=$?

# pytest comes last, so that its summary closes the output.
"$python" -m pytest "$@"
tests=$?
[ $lint -eq 0 ] || echo "make test: the style and type checks above failed" >&2
[ $tests -eq 0 ] || exit $tests
exit $lint

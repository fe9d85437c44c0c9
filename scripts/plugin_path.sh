#!/usr/bin/env bash
# Prints the one file to load in ParaView, on standard output, alone.
set -euo pipefail
source "$(dirname "$0")/common.sh"
[ -f "$build/plugin-path.txt" ] || fail 2 "The plugin is not built yet: run make setup"
cat "$build/plugin-path.txt"

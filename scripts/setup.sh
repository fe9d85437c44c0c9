#!/usr/bin/env bash
# Makes this checkout ready to use: Debian packages, the Python environment .venv, the ParaView plugin.
# Does only what is missing, so it can be run again at any time, also after it was interrupted.
#
#   scripts/setup.sh [--quiet]      --quiet: speak only when there is something to do
#
#   TORCH=cpu|pypi|URL      the PyTorch build: the CPU's (default), the one on PyPI (CUDA), or one from a package index
#   PVPYTHON=FILE           ParaView's Python, where it is not Debian's /usr/bin/pvpython
#   SKIP_SYSTEM_PACKAGES=1  do not look for Debian packages (another distribution, a ParaView of your own)
set -euo pipefail
source "$(dirname "$0")/common.sh"
[ "${1:-}" = --quiet ] && quiet=yes
export quiet

mkdir -p "$build"
exec 9>"$build/.setup-lock"
flock --nonblock 9 || { echo "Another setup of this checkout is running; waiting for it."; flock 9; }

scripts/install_system_packages.sh
scripts/make_venv.sh
scripts/build_plugin.sh
say "Ready. The plugin to load in ParaView: $(cat "$build/plugin-path.txt")"

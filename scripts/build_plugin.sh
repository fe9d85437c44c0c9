#!/usr/bin/env bash
# Configures (when anything changed) and builds the ParaView plugin in build/.
set -euo pipefail
source "$(dirname "$0")/common.sh"

packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
options=(
  -S "$root" -B "$build" -G Ninja
  -DCMAKE_BUILD_TYPE=Release
  "-DAMGSRN_PYTHON_PATHS=$root;$packages"
)
stamp=$build/.configured
log=$build/build.log
current=$(printf '%s\n' "${options[@]}" | fingerprint)

if [ "$(cat "$stamp" 2>/dev/null)" != "$current" ] || [ ! -f "$build/build.ninja" ]; then
  echo "Configuring the ParaView plugin"
  rm -f "$stamp"
  # --fresh: nothing of a configuration that was interrupted, or of another checkout, survives.
  cmake --fresh "${options[@]}" >"$log" 2>&1 ||
    { tail -n 30 "$log" >&2; fail 1 "CMake could not configure the plugin; the full text is in $log"; }
  echo "$current" >"$stamp"
fi

todo=$(ninja -C "$build" -n)
if [[ $todo != *"no work to do"* ]]; then
  echo "Building the ParaView plugin"
  cmake --build "$build" >"$log" 2>&1 ||
    { grep -A 5 -E 'error|FAILED' "$log" | head -n 60 >&2; fail 1 "The plugin could not be built; the full text is in $log"; }
fi
[ -f "$(cat "$build/plugin-path.txt" 2>/dev/null)" ] || fail 1 "The build left no plugin: see $build/plugin-path.txt"

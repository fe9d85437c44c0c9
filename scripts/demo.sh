#!/usr/bin/env bash
# From nothing to a picture: sets up, simulates a flow, learns it, measures the errors, and renders it with the ParaView plugin.
# Everything it makes is in build/demo/. What is there already, from the same sources, is not made again.
set -euo pipefail
source "$(dirname "$0")/common.sh"

scripts/setup.sh --quiet

demo=$build/demo
volume=$demo/taylor_green.nc
model=$demo/taylor_green.amgsrn
picture=$demo/taylor_green.png
state=$demo/taylor_green.pvsm
plugin=$(scripts/plugin_path.sh)
mkdir -p "$demo"

sources() { # fingerprint of the source files in the named folders
  find "$@" -type f \( -name '*.py' -o -name '*.cc' -o -name '*.cxx' -o -name '*.h' \) -print0 | sort -z | xargs -0 cat | fingerprint
}

up_to_date() { # up_to_date FILE INPUTS: was FILE made from these inputs?
  [ -f "$1" ] && [ "$(cat "$1.made-from" 2>/dev/null)" = "$2" ]
}

step() {
  printf '\n%s\n' "$*"
}

volume_inputs=$(sources examples/make_volume.py)
if up_to_date "$volume" "$volume_inputs"; then
  step "1. The volume is there: $volume"
else
  step "1. Simulating a turbulent flow (half a minute)"
  "$python" examples/make_volume.py --output "$volume"
  rm -f "$model"*
  echo "$volume_inputs" >"$volume.made-from"
fi

step "2. Learning it (a minute at most; a fit that was interrupted goes on, one that is done is left as it is)"
fit=("$python" -m trainer fit "$volume" -o "$model" --preset small)
"${fit[@]}" || {
  status=$?
  # 2: the model there is of another fit, made by an earlier version of this project.
  [ $status = 2 ] && [ -f "$model" ] || exit $status
  echo "Learning it anew."
  "${fit[@]}" --overwrite
}

step "3. Measuring how well it was learned"
"$python" -m trainer evaluate "$model" "$volume"

picture_inputs=$({ cat "$model" "$plugin" && sources examples/render_neural_volume.py paraview_plugin; } | fingerprint)
if up_to_date "$picture" "$picture_inputs"; then
  step "4. The picture is there: $picture"
else
  step "4. Rendering it in ParaView"
  with_display "$pvpython" examples/render_neural_volume.py "$model" "$picture" --plugin "$plugin" --state "$state" \
    --title "Taylor-Green vortex, Re 400, t = 8 s: a neural volume of $(($(stat -c %s "$model") / 1000)) kB" --units 1/s
  echo "$picture_inputs" >"$picture.made-from"
fi

open_gui=(env "PV_PLUGIN_PATH=$(dirname "$plugin")" paraview "--plugins=$(basename "$plugin" .so)" "--state=$state")
cat <<END

Done.
  volume         $volume  ($(stat -c %s "$volume") bytes, compressed)
  neural volume  $model  ($(stat -c %s "$model") bytes)
  picture        $picture
  plugin         $plugin

To look at it in ParaView: Tools > Manage Plugins > Load New, choose the plugin; then File > Load State, choose
  $state
or start ParaView with both:
  ${open_gui[*]:1}
END

if [ -n "${DISPLAY:-}" ] && [ -t 1 ] && command -v paraview >/dev/null; then
  printf '\nOpening ParaView.\n'
  "${open_gui[@]}"
fi

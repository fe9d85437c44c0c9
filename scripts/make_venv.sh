#!/usr/bin/env bash
# Makes .venv with the Python version that ParaView embeds, and installs packaging/requirements-dev.txt into it.
set -euo pipefail
source "$(dirname "$0")/common.sh"

requirements=$root/packaging/requirements-dev.txt
stamp=$venv/.complete
unfinished=$venv/.unfinished
where=$(command -v "$pvpython") ||
  fail 2 "ParaView's pvpython was not found. Install ParaView, or say where it is: make setup PVPYTHON=/path/to/pvpython"

# Everything that the environment depends on. An environment with another build of PyTorch is made anew only when TORCH says so.
current=$({
  cat "$root"/packaging/requirements*.txt "$0"
  echo "$root ${TORCH:-}"
  stat --dereference --format '%n %s %Y' "$where"
} | fingerprint)
[ "$(cat "$stamp" 2>/dev/null)" = "$current" ] && exit 0

embedded_version() {
  local script
  script=$(mktemp --suffix=.py)
  # shellcheck disable=SC2064  # the name is known now
  trap "rm -f '$script'" RETURN
  echo 'import sys; print("embedded", "%d.%d" % sys.version_info[:2])' >"$script"
  { "$pvpython" "$script" 2>/dev/null || with_display "$pvpython" "$script" 2>/dev/null || true; } |
    awk '$1 == "embedded" { print $2; exit }'
}

version=$(embedded_version)
[ -n "$version" ] || fail 1 "$where did not tell its Python version; does it start?"

# Debian's interpreter, not one that a version manager put first in PATH: ParaView embeds Debian's.
interpreter=/usr/bin/python$version
[ -x "$interpreter" ] || interpreter=$(command -v "python$version") ||
  fail 2 "ParaView embeds Python $version, and there is no python$version here. On Debian: apt-get install python$version-venv"

usable() { # is the present environment whole, and of the right interpreter?
  [ ! -e "$unfinished" ] && [ "$("$python" -c 'import sys, pip; print("%d.%d" % sys.version_info[:2], sys.prefix, sys.base_prefix)' 2>/dev/null)" = \
    "$version $venv $("$interpreter" -c 'import sys; print(sys.base_prefix)')" ]
}

if ! usable; then
  echo "Making .venv with $interpreter (Python $version, as in ParaView)"
  rm -rf "$venv"
  "$interpreter" -m venv "$venv"
fi
rm -f "$stamp"
touch "$unfinished" # an installation that was interrupted is not trusted: the next one starts from nothing

pip() { "$python" -m pip --disable-pip-version-check --quiet "$@"; }

echo "Installing $(cat "$root"/packaging/requirements*.txt | grep -c '==') Python packages into .venv (packaging/requirements*.txt)"

# PyTorch first, and alone: PyPI's build for Linux brings gigabytes of CUDA along, which only machines with an NVIDIA GPU can use.
wanted=$(grep '^torch==' "$root/packaging/requirements.txt")
present=$("$python" -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' 2>/dev/null || true)
if [ -n "${TORCH:-}" ] || [ "${present%%+*}" != "$wanted" ]; then
  [ -z "$present" ] || pip uninstall --yes torch
  case ${TORCH:-cpu} in
    cpu)
      # A build that this machine already has (pip's find-links), else PyTorch's own index of CPU builds.
      pip install --no-deps --no-index "$wanted" 2>/dev/null ||
        pip install --no-deps --index-url https://download.pytorch.org/whl/cpu "$wanted" ||
        fail 1 "The CPU build of $wanted could not be fetched from download.pytorch.org." \
          "To take the (large) build on PyPI instead: make setup TORCH=pypi"
      ;;
    pypi) pip install "$wanted" ;;
    *://*) pip install --index-url "$TORCH" --extra-index-url https://pypi.org/simple "$wanted" ;;
    *) fail 2 "TORCH must be cpu, pypi, or the URL of a package index, not $TORCH" ;;
  esac
fi

# PyTorch's builds for AMD bring a Triton of their own, under another name: PyPI's would overwrite its files.
triton_of=$("$python" -c 'import importlib.metadata as m; print(*set(m.packages_distributions().get("triton", ["triton"])))')
if [ "$triton_of" = triton ]; then
  pip install --requirement "$requirements"
else
  pip install --requirement "$root/packaging/requirements.txt" --requirement <(grep --invert-match -e '^-r ' -e '^triton==' "$requirements")
fi

# So that `python -m trainer` works in any folder.
echo "$root" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/neural-volumes.pth"

"$python" -c 'import torch, numpy, netCDF4, safetensors, rich' # fail here rather than later
rm "$unfinished"
echo "$current" >"$stamp"

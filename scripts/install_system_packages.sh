#!/usr/bin/env bash
# Installs the Debian packages listed in packaging/debian*.txt that are not installed yet.
set -euo pipefail
source "$(dirname "$0")/common.sh"

[ "${SKIP_SYSTEM_PACKAGES:-0}" = 1 ] && exit 0

wanted() {
  sed -e 's/#.*//' "$root"/packaging/debian12-*.txt | tr -s '[:space:]' '\n' | sed '/^$/d' | sort -u
}

missing() {
  command -v dpkg-query >/dev/null || { wanted; return; }
  local installed
  # shellcheck disable=SC2016  # ${…} is dpkg-query's
  installed=$(dpkg-query --show --showformat='${binary:Package} ${db:Status-Status}\n' 2>/dev/null |
    awk '$2 == "installed" { sub(/:.*/, "", $1); print $1 }' | sort -u)
  comm -23 <(wanted) <(printf '%s\n' "$installed")
}

mapfile -t packages < <(missing)
[ ${#packages[@]} -gt 0 ] || exit 0

command_line="apt-get install --no-install-recommends ${packages[*]}"
release() { # a value of /etc/os-release
  sed -n "s/^$1=//p" /etc/os-release 2>/dev/null | tr -d '"'
}
version=$(release ID)$(release VERSION_ID)

if [ "$version" != debian12 ] || ! command -v apt-get >/dev/null; then
  fail 2 "This is made for Debian 12; here is ${version:-another system}." \
    "It needs what these Debian 12 packages contain:" "  ${packages[*]}" \
    "Where you have all of it under other names: make setup SKIP_SYSTEM_PACKAGES=1"
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
  as_root=(sudo)
  # Without a terminal nobody can type sudo's password.
  if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && [ ! -t 0 ]; }; then
    fail 2 "${#packages[@]} Debian packages are missing, and this user may not install them. Please have root run:" \
      "  apt-get update && $command_line" "and then run make setup again."
  fi
fi

echo "Installing ${#packages[@]} Debian packages: ${packages[*]}"
[ ${#as_root[@]} = 0 ] || echo "This needs sudo."

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -qq "$@" </dev/null
}

log=$build/system-packages.log

# An installation that was interrupted leaves packages half configured.
if [ -n "$(dpkg --audit)" ]; then
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a >"$log" 2>&1 </dev/null || true
fi

known() { # are all of them in apt's lists?
  local candidates
  candidates=$(LC_ALL=C apt-cache policy "${packages[@]}" 2>/dev/null | grep -c '^  Candidate: [^(]') || true
  [ "$candidates" = ${#packages[@]} ]
}
install() {
  apt install --yes --no-install-recommends "${packages[@]}" >"$log" 2>&1
}

known || apt update
"${as_root[@]}" env LC_ALL=C apt-get install --assume-no --no-install-recommends "${packages[@]}" 2>/dev/null </dev/null |
  grep -E '^(Need to get|After)' || true
if ! install; then
  # Lists that are out of date name files that the mirror has replaced.
  apt update
  install || { tail -n 20 "$log" >&2; fail 1 "The packages could not be installed; the full text is in $log"; }
fi

# shellcheck shell=bash disable=SC2034  # the scripts that source this use the names
# Sourced by the other scripts: where things are, and how to talk.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
venv=$root/.venv
python=$venv/bin/python
build=$root/build
pvpython=${PVPYTHON:-pvpython}

quiet=${quiet:-no}

# Threads that wait for each other give the core away: on a busy machine spinning makes everything several times slower.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

trap 'exit 130' INT # Ctrl-C ends the script, not just the command that it is running

say() { # what is going on
  [ "$quiet" = yes ] || printf '%s\n' "$*"
}

fail() { # fail CODE LINE...: 2 when the user can do something about it, 1 otherwise
  local code=$1 line
  shift
  for line in "$@"; do printf '%s\n' "$line" >&2; done
  exit "$code"
}

fingerprint() { # of standard input
  sha256sum | cut -d ' ' -f 1
}

with_display() { # run a command that draws: on the user's display, else on a virtual one
  if [ -n "${DISPLAY:-}" ]; then
    "$@"
    return
  fi
  local server number status=0 name
  name=$(mktemp)
  # Without -noreset it starts anew whenever its last client leaves, and refuses the next one meanwhile.
  # The server itself chooses a free display: asking for one and then starting it is a race that xvfb-run can lose.
  Xvfb -displayfd 1 -screen 0 1600x1200x24 -nolisten tcp -noreset >"$name" 2>/dev/null 9>&- &
  server=$!
  # shellcheck disable=SC2064  # the values are known now
  trap "kill $server 2>/dev/null; rm -f '$name'" EXIT
  until number=$(cat "$name") && [ -n "$number" ]; do
    kill -0 "$server" 2>/dev/null || fail 1 "The virtual display Xvfb does not start"
    sleep 0.1
  done
  DISPLAY=:$number "$@" || status=$?
  trap - EXIT
  kill "$server"
  wait "$server" 2>/dev/null || true
  rm -f "$name"
  return $status
}

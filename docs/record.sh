#!/usr/bin/env bash
# Records the sessions that README.md and docs/shells.md show: real shells and real programs
# in a throw-away home, as SVG that moves by itself. Nothing is left behind but docs/*.svg.
# usage: docs/record.sh [NAME…]     NAME is direnv, hook-bash, hook-zsh or hook-fish
#
# It needs bash, zsh, fish, direnv and python3 (apt-get install zsh fish direnv python3-venv),
# and pyte, a terminal without a window (apt-get install python3-pyte). Where pyte is not
# installed, it comes from PyPI into target/record, and nowhere else.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target_dir=${CARGO_TARGET_DIR:-$here/../target}
[[ $target_dir == /* ]] || target_dir=$PWD/$target_dir
pyte=pyte==0.8.2
python=
dist=
home=
pid=

die() {
  printf 'record.sh: %s\n' "$1" >&2
  exit 1
}

# By its own path, because what is filmed has another PATH; and a module that lies in the
# caller's home would not be found there.
find_python() {
  python=$(python3 -c 'import sys; print(sys.executable)') || die "python3 is not installed"
  ! "$python" -I -c 'import pyte' 2>/dev/null || return 0
  python=$target_dir/record/bin/python3
  ! "$python" -I -c 'import pyte' 2>/dev/null || return 0
  python3 -m venv "$target_dir/record" || die "python3 cannot make a venv"
  "$python" -m pip --quiet install "$pyte" || die "$pyte cannot be installed"
}

# Nothing of the caller's environment reaches what is filmed.
inside() {
  env -i PATH="$dist:/usr/local/bin:/usr/bin:/bin" TERM=xterm-256color LANG=C.UTF-8 \
    HOME="$home" XDG_RUNTIME_DIR="$home/run" "$@"
}

# Every key is made up. There was no keyagent yet when these projects began.
make_home() {
  home=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/keyagent-record.XXXXXX")
  (umask 077 && mkdir -p "$home"/{run,src/acme-web/bin,src/pay-api})
  cat >"$home/src/acme-web/.envrc" <<'END'
PATH_add bin
export OPENAI_API_KEY=sk-proj-FAKE-acme-1
export LOG_LEVEL=debug
END
  cat >"$home/src/pay-api/.envrc" <<'END'
export OPENAI_API_KEY=sk-proj-FAKE-pay-1
END
}

agent_pid() {
  inside keyagent status --json 2>/dev/null | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p'
}

# Wherever this is interrupted: the agent that was started goes, and then its home.
remove_home() {
  [[ -n $home && -d $home ]] || return 0
  local try
  pid=$(agent_pid || true)
  inside keyagent stop >/dev/null 2>&1 || true
  for ((try = 0; try < 50; try++)); do
    is_running || break
    sleep 0.1
  done
  ! is_running || kill -KILL "$pid"
  rm -rf "$home"
}

# Its number may be another program's by now, so its name counts too.
is_running() {
  [[ -n $pid && $(readlink "/proc/$pid/exe" 2>/dev/null) == "$dist/keyagentd"* ]]
}

# The recording takes its place only when it is complete, and tells nothing of where it was made.
record() { # NAME SHELL
  local scenario=${1%%-*} made
  make_home
  made=$home/recording
  inside "$python" -B "$here/record/session.py" \
    "$here/record/$scenario.scenario" "$2" "$made"
  if grep -nF -e "$home" -e "$here" "$made" >&2 || grep -nwF -e "$(uname -n)" "$made" >&2; then
    die "$1: it names this machine"
  fi
  install -m 644 "$made" "$here/$1.svg"
  printf '%s.svg (%s KiB)\n' "docs/$1" $(($(wc -c <"$made") / 1024))
  remove_home
}

(($#)) || set -- direnv hook-bash hook-zsh hook-fish
built=$("$here/../packaging/build.sh") || die "it does not build"
dist=$(dirname "${built%% (*}")
find_python
trap remove_home EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
for name in "$@"; do
  case $name in
  direnv) record direnv bash ;;
  hook-bash | hook-zsh | hook-fish) record "$name" "${name#hook-}" ;;
  *) die "there is no recording \`$name\`" ;;
  esac
done

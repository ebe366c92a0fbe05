#!/usr/bin/env bash
# Installs keyagent: both binaries, completions for bash, zsh and fish, man pages, and
# systemd user units that nothing enables. Running it again brings it up to date.
# usage: packaging/install.sh [--prefix DIR] [--uninstall]
#   --prefix DIR   /usr/local where that is writable, else ~/.local
#   --uninstall    takes all of it away again, and never a vault
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=
uninstall=0

die() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

usage() {
  sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}"
}

parse() {
  while (($#)); do
    case $1 in
    --prefix)
      [[ -n ${2:-} ]] || die "--prefix needs a directory" 2
      prefix=$2
      shift
      ;;
    --prefix=?*) prefix=${1#*=} ;;
    --uninstall) uninstall=1 ;;
    -h | --help) usage && exit ;;
    *) die "unknown argument: $1" 2 ;;
    esac
    shift
  done
  if [[ -z $prefix ]]; then
    prefix=/usr/local
    [[ -w /usr/local/bin && -w /usr/local/share ]] || prefix=${HOME:?}/.local
  fi
  [[ $prefix == /* ]] || prefix=$PWD/$prefix
  prefix=${prefix%/}
}

installed=(
  bin/keyagent
  bin/keyagentd
  share/bash-completion/completions/keyagent
  share/zsh/site-functions/_keyagent
  share/fish/vendor_completions.d/keyagent.fish
  share/man/man1/keyagent.1
  share/man/man8/keyagentd.8
  share/systemd/user/keyagentd.service
  share/systemd/user/keyagentd.socket
)

# Reads a file from stdin and puts it in its place by a rename: whoever opens it meanwhile
# gets the old one or the new one.
put() {
  local to=$prefix/$2
  mkdir -p "${to%/*}"
  cat >"$to.new.$$" || {
    rm -f "$to.new.$$"
    die "cannot write $to"
  }
  chmod "$1" "$to.new.$$"
  mv -f "$to.new.$$" "$to"
}

completions() {
  local text
  text=$("$prefix/bin/keyagent" completions "$1") || die "keyagent completions $1 failed"
  put 644 "$2" <<<"$text"
}

install_all() {
  local built dist
  built=$("$here/build.sh") || die "it does not build"
  dist=$(dirname "${built%% (*}")
  # The agent first: a client never meets an agent that is older than itself.
  put 755 bin/keyagentd <"$dist/keyagentd"
  put 755 bin/keyagent <"$dist/keyagent"
  completions bash share/bash-completion/completions/keyagent
  completions zsh share/zsh/site-functions/_keyagent
  completions fish share/fish/vendor_completions.d/keyagent.fish
  put 644 share/man/man1/keyagent.1 <"$here/man/keyagent.1"
  put 644 share/man/man8/keyagentd.8 <"$here/man/keyagentd.8"
  sed "s|@BINDIR@|$prefix/bin|" "$here/systemd/keyagentd.service" |
    put 644 share/systemd/user/keyagentd.service
  put 644 share/systemd/user/keyagentd.socket <"$here/systemd/keyagentd.socket"
}

next_steps() {
  local keyagent=keyagent
  printf 'Installed under %s. Next:\n' "$prefix"
  if [[ $(command -v keyagent || true) != "$prefix/bin/keyagent" ]]; then
    printf '  export PATH="%s:%s"   # not there yet; put it in a start-up file of your shell\n' \
      "$prefix/bin" "\$PATH"
  fi
  printf '  %-34s # %s\n' \
    "$keyagent init" "makes your vault" \
    "$keyagent import .envrc --replace" "in a project: moves its keys into the vault" \
    "$keyagent exec -- CMD" "runs CMD with them"
  if "$prefix/bin/keyagent" status >/dev/null 2>&1 </dev/null; then
    printf 'An agent is running already: after "%s stop" the next command starts the new one.\n' "$keyagent"
  fi
}

uninstall_all() {
  local vault=${XDG_DATA_HOME:-${HOME:-}/.local/share}/keyagent file
  # status never starts an agent; one whose program is gone could not be stopped by name.
  if [[ -x $prefix/bin/keyagent ]] && "$prefix/bin/keyagent" status >/dev/null 2>&1 </dev/null; then
    "$prefix/bin/keyagent" stop </dev/null || true
  fi
  for file in "${installed[@]}"; do
    rm -f "$prefix/$file"
    # Directories that the system made are its own, empty or not.
    [[ $prefix == /usr* || ! -d $prefix ]] ||
      (cd "$prefix" && rmdir -p --ignore-fail-on-non-empty "${file%/*}" 2>/dev/null) || true
  done
  printf 'Removed keyagent from %s.\n' "$prefix"
  [[ ! -d $vault ]] || printf 'Your vault is left as it is: %s\n' "$vault"
}

parse "$@"
if ((uninstall)); then
  uninstall_all
else
  install_all
  next_steps
fi

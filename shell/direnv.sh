# shellcheck shell=bash
# keyagent for direnv: `use keyagent [PROFILE]` in an .envrc loads the project's keys.
# `keyagent hook direnv --install` puts this file in direnv's lib directory.
#
# It evaluates what keyagent prints only if keyagent succeeded, prints nothing on stdout
# (which is direnv's own), and never reads stdin. direnv shows the arguments of `use`: the
# name of a profile is the only one that there is.

use_keyagent() {
  # Long names: a variable of the project that is called the same would stay local here.
  local __keyagent_manifest __keyagent_exports
  if __keyagent_manifest=$(find_up keyagent.toml); then
    watch_file "$__keyagent_manifest"
  fi
  # A failure is returned and nothing is set; the rest of the .envrc goes on, unless it
  # asked for `strict_env`.
  __keyagent_exports=$(keyagent export --format direnv ${1:+-P "$1"} </dev/null) || return $?
  eval "$__keyagent_exports"
}

# shellcheck shell=bash
# keyagent for direnv: `use keyagent [PROFILE]` in an .envrc loads the project's keys.
# `keyagent hook direnv --install` puts this file in direnv's lib directory.
#
# It evaluates what keyagent prints: what direnv is to watch, always, and the keys, all or
# none. So a project that is locked or not allowed loads by itself once it may. It prints
# nothing on stdout (which is direnv's own), and never reads stdin. direnv shows the
# arguments of `use`: the name of a profile is the only one that there is.

use_keyagent() {
  # Long names: a variable of the project that is called the same would stay local here.
  local __keyagent_exports __keyagent_status=0 __keyagent_flags=$-
  # A trace would show the keys.
  { set +x; } 2>/dev/null
  __keyagent_exports=$(keyagent export --format direnv --hook ${1:+"--profile=$1"} </dev/null) ||
    __keyagent_status=$?
  eval "$__keyagent_exports"
  [[ $__keyagent_flags != *x* ]] || set -x
  # A failure is returned and no key is set; the rest of the .envrc goes on, unless it asked
  # for `strict_env`.
  return "$__keyagent_status"
}

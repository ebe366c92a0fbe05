# shellcheck shell=bash
# keyagent for direnv: `use keyagent [PROFILE]` in an .envrc loads the project's keys.
# `keyagent hook direnv --install` puts this file in direnv's lib directory.
#
# It evaluates what keyagent prints: what direnv is to watch, always, and the keys, all or
# none. So a project that is locked or not allowed loads by itself once it may. It prints
# nothing on stdout (which is direnv's own), and never reads stdin. direnv shows the
# arguments of `use`: the name of a profile is the only one that there is.

# Our own program, wherever the .envrc has PATH lead by now.
__keyagent_client=keyagent

use_keyagent() {
  # Long names: a variable of the project that is called the same would stay local here.
  local __keyagent_status=0 __keyagent_flags=$-
  # A trace would show the keys, and so would a trap that functions inherit.
  { set +Tvx; } 2>/dev/null
  __keyagent_load "$@" || __keyagent_status=$?
  [[ $__keyagent_flags != *T* ]] || set -T
  [[ $__keyagent_flags != *v* ]] || set -v
  [[ $__keyagent_flags != *x* ]] || set -x
  # A failure is returned and no key is set; the rest of the .envrc goes on, unless it asked
  # for `strict_env`.
  return "$__keyagent_status"
}

__keyagent_load() { # [PROFILE]
  local __keyagent_exports __keyagent_status=0
  __keyagent_exports=$("$__keyagent_client" export --format direnv --hook ${1:+"--profile=$1"} </dev/null) ||
    __keyagent_status=$?
  eval "$__keyagent_exports"
  return "$__keyagent_status"
}

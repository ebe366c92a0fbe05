# shellcheck shell=bash
# keyagent for bash: the keys of a project come when you enter it, and go when you leave.
# In ~/.bashrc, at the end:  eval "$(keyagent hook bash)"        (bash 4.4 or newer)
#
# At a prompt where nothing changed it forks nothing and starts nothing: it looks at the
# manifest, and for a mark that is there until the agent takes it away. It prints nothing on
# stdout, never asks, and evaluates only what keyagent prints. KEYAGENT_PROFILE, if you set it,
# names the profile.

# Our own program, wherever PATH leads by now.
__keyagent_client=keyagent
# How many directories upward a manifest is looked for.
__keyagent_places_max=128
# The largest manifest, and a byte.
__keyagent_text_max=65537
# The longest record that is taken for one, in characters.
__keyagent_record_max=81920

__keyagent_pwd=           # where we stood when the places were listed
__keyagent_places=()      # where a manifest may be, the nearest first
__keyagent_still=()       # what `test` has to find, as long as the nearest is the same
__keyagent_manifest=      # the nearest manifest
__keyagent_readable=      # set if that is a file that can be read
__keyagent_mark=          # a file that is there as long as the agent knows nothing newer
__keyagent_now=           # all that is looked at
__keyagent_seen=          # what that was when keyagent was asked last; empty if the mark went
__keyagent_noted=         # the same, though the mark went
__keyagent_record=        # KEYAGENT_LOADED, as it was written here
__keyagent_entered=       # the manifest whose overrides were named
__keyagent_vars=()        # the variables that a record names

# Before each prompt. bash copies a function whenever it calls it, so this one is short: what
# is seldom needed is elsewhere, and what it reads comes by a descriptor that nobody has,
# which spares putting stdin aside and back.
__keyagent_prompt() {
  __keyagent_status=$? __keyagent_text=''
  # Not `[[`: it would take no notice of case where the user has set nocasematch.
  test "$PWD" = "$__keyagent_pwd" "${__keyagent_still[@]}" || __keyagent_find
  [[ ! $__keyagent_readable ]] ||
    read -r -u 9 -N "$__keyagent_text_max" __keyagent_text 9<"$__keyagent_manifest" || :
  __keyagent_now=$__keyagent_manifest:${KEYAGENT_PROFILE-}:${KEYAGENT_LOADED-}:${DIRENV_KEYAGENT-}:${KEYAGENT_SOCK-}:$__keyagent_text
  test "$__keyagent_now" = "$__keyagent_seen" || __keyagent_reload || :
  # Under `set -e` a prompt that returns what the last command did would end the shell.
  [[ $- == *e* ]] || return "$__keyagent_status"
}

# The nearest manifest, and the test that says that it still is one of its kind, and that the
# mark is there.
__keyagent_find() {
  local __keyagent_place
  [[ ! $__keyagent_mark || -e $__keyagent_mark ]] || __keyagent_seen=
  [ "$PWD" = "$__keyagent_pwd" ] || __keyagent_list_places
  __keyagent_manifest=
  __keyagent_readable=
  __keyagent_still=()
  for __keyagent_place in "${__keyagent_places[@]}"; do
    if [[ -e $__keyagent_place ]]; then
      __keyagent_manifest=$__keyagent_place
      break
    fi
    __keyagent_still+=(-a ! -e "$__keyagent_place")
  done
  if [[ ! -f $__keyagent_manifest ]]; then
    [[ ! $__keyagent_manifest ]] ||
      __keyagent_still+=(-a -e "$__keyagent_manifest" -a ! -f "$__keyagent_manifest")
  elif [[ ! -r $__keyagent_manifest ]]; then
    __keyagent_still+=(-a -f "$__keyagent_manifest" -a ! -r "$__keyagent_manifest")
  else
    __keyagent_readable=yes
    __keyagent_still+=(-a -f "$__keyagent_manifest" -a -r "$__keyagent_manifest")
  fi
  [[ ! $__keyagent_mark ]] || __keyagent_still+=(-a -e "$__keyagent_mark")
}

# Upward from where we stand, never above a directory of another owner; then the user's own.
# The agent is asked by the kernel's path, so links on the way are left out of it.
__keyagent_list_places() {
  local __keyagent_dir=$PWD
  __keyagent_pwd=$PWD
  __keyagent_places=()
  while [[ $__keyagent_dir == /?* ]]; do
    if [[ -L $__keyagent_dir ]]; then
      # A path may end with newlines, which bash takes away from what ends with them.
      __keyagent_dir=$(pwd -P 2>/dev/null && printf .)
      __keyagent_dir=${__keyagent_dir%$'\n.'}
      break
    fi
    __keyagent_dir=${__keyagent_dir%/*}
  done
  [[ $__keyagent_dir ]] || __keyagent_dir=$PWD
  while [[ $__keyagent_dir == /* && -O $__keyagent_dir ]] &&
    ((${#__keyagent_places[@]} < __keyagent_places_max)); do
    __keyagent_places+=("${__keyagent_dir%/}/keyagent.toml")
    [[ $__keyagent_dir != / ]] || break
    __keyagent_dir=${__keyagent_dir%/*}
    __keyagent_dir=${__keyagent_dir:-/}
  done
  __keyagent_dir=${XDG_CONFIG_HOME-}
  [[ $__keyagent_dir == /* ]] || __keyagent_dir=${HOME-}/.config
  __keyagent_places+=("$__keyagent_dir/keyagent/keyagent.toml")
}

# Nothing of what follows is traced, nor heard by a trap that functions inherit.
__keyagent_reload() {
  { local -; set +Tuvx; } 2>/dev/null
  __keyagent_load
  __keyagent_note
}

# Asks, and has the variables be what the answer says.
__keyagent_load() {
  local __keyagent_answer='' __keyagent_again=''
  # Whoever has stopped the agent did not mean the next prompt to start it.
  [ "$__keyagent_now" != "$__keyagent_noted" ] || __keyagent_again=--if-running
  __keyagent_mark=
  __keyagent_adopt
  if [[ -n ${DIRENV_KEYAGENT-} ]]; then
    __keyagent_give_way
    return
  fi
  # The keys of another project go, though the answer may never come; and whoever breaks off
  # the wait for it is not made to wait at the next prompt again.
  if [ "$__keyagent_entered" != "$__keyagent_manifest" ]; then
    __keyagent_begin ''
    __keyagent_entered=
  fi
  __keyagent_note
  if [[ $__keyagent_manifest ]]; then
    __keyagent_answer=$("$__keyagent_client" export --format bash --hook ${__keyagent_again:+"$__keyagent_again"} \
      ${KEYAGENT_PROFILE:+"--profile=$KEYAGENT_PROFILE"} </dev/null)
  fi
  eval "${__keyagent_answer:-__keyagent_begin ''}"
  __keyagent_entered=$__keyagent_manifest
}

# Remembers all that was looked at.
__keyagent_note() {
  __keyagent_seen=$__keyagent_manifest:${KEYAGENT_PROFILE-}:${KEYAGENT_LOADED-}:${DIRENV_KEYAGENT-}:${KEYAGENT_SOCK-}:$__keyagent_text
  __keyagent_noted=$__keyagent_seen
  __keyagent_find
}

# What keyagent prints: first this, whatever comes of the keys.
__keyagent_begin() { # MARK
  local __keyagent_var
  for __keyagent_var in "${!__keyagent_before[@]}"; do
    __keyagent_restore "$__keyagent_var"
  done
  unset -v KEYAGENT_LOADED
  __keyagent_record=
  __keyagent_mark=$1
}

# Then this for each key.
__keyagent_put() { # VAR VALUE
  local __keyagent_was='' __keyagent_flags
  if declare -p "$1" &>/dev/null; then
    __keyagent_was=$(declare -p "$1")
    __keyagent_was=${__keyagent_was#declare }
    __keyagent_flags=${__keyagent_was%% *}
    if [[ $__keyagent_flags == *r* ]]; then
      # shellcheck disable=SC2016 # the quotes are a part of the text
      printf 'keyagent: cannot set `%s`: it is read-only in this shell\n' "$1" >&2
      return
    elif [[ $__keyagent_flags == *n* ]]; then
      # shellcheck disable=SC2016 # the quotes are a part of the text
      printf 'keyagent: cannot set `%s`: it refers to another variable in this shell\n' "$1" >&2
      return
    fi
    if [[ ! $__keyagent_entered ]] && [ "${!1-}" != "$2" ]; then
      # shellcheck disable=SC2016 # the quotes are a part of the text
      printf 'keyagent: `%s` was set already; it has the vault'\''s value now\n' "$1" >&2
    fi
    # A shell inside this one has only the environment to know it by.
    if [[ $__keyagent_flags == *x* && ${!1+set} ]]; then
      export "KEYAGENT_OLD_$1=${!1}"
    fi
    __keyagent_was="declare -g $__keyagent_was"
  fi
  __keyagent_before[$1]=$__keyagent_was
  # Attributes go: an integer would be calculated, and a calculation can run commands.
  unset -v "$1"
  export "$1=$2"
}

# And last this.
__keyagent_end() { # RECORD
  export KEYAGENT_LOADED=$1
  __keyagent_record=$1
}

# Puts a variable back as it was: unset, or the user's own, exported or not.
__keyagent_restore() { # VAR
  if unset -v "$1" 2>/dev/null; then
    eval "${__keyagent_before[$1]}"
  else
    # shellcheck disable=SC2016 # the quotes are a part of the text
    printf 'keyagent: cannot take `%s` away: it is read-only in this shell\n' "$1" >&2
  fi
  unset -v "KEYAGENT_OLD_$1" "__keyagent_before[$1]"
}

# What a shell around this one has loaded is not the user's own either.
__keyagent_adopt() {
  [[ -n ${KEYAGENT_LOADED-} && $KEYAGENT_LOADED != "$__keyagent_record" ]] || return 0
  local __keyagent_var __keyagent_old
  __keyagent_list_vars "$KEYAGENT_LOADED"
  for __keyagent_var in "${__keyagent_vars[@]}"; do
    [[ ! ${__keyagent_before[$__keyagent_var]+known} ]] || continue
    __keyagent_old=KEYAGENT_OLD_$__keyagent_var
    __keyagent_before[$__keyagent_var]=
    if [[ ${!__keyagent_old+exported} ]]; then
      printf -v "__keyagent_before[$__keyagent_var]" 'export %s=%q' \
        "$__keyagent_var" "${!__keyagent_old}"
    fi
  done
}

# direnv has loaded the project's keys, and takes them out again: ours go, less those that
# are its own now. What it then puts back is ours, so the record of it stays, for a shell
# inside this one.
__keyagent_give_way() {
  local __keyagent_var __keyagent_left='' IFS=' '
  __keyagent_list_vars "$DIRENV_KEYAGENT"
  for __keyagent_var in "${!__keyagent_before[@]}"; do
    if [[ " ${__keyagent_vars[*]} " != *" $__keyagent_var "* ]]; then
      __keyagent_restore "$__keyagent_var"
      __keyagent_left=$__keyagent_var
    fi
  done
  # Of a record that is not true any more, nothing stays.
  if [[ $__keyagent_left ]] || ((${#__keyagent_before[@]} == 0)); then
    unset -v KEYAGENT_LOADED
    __keyagent_record=
  fi
}

# The variables that a record names: PROFILE VAR=SECRET@VERSION,… DIRECTORY.
__keyagent_list_vars() { # RECORD
  local __keyagent_word __keyagent_rest=${1#* }
  __keyagent_rest=${__keyagent_rest%% *}
  __keyagent_vars=()
  ((${#1} <= __keyagent_record_max)) || return 0
  while [[ $__keyagent_rest ]]; do
    __keyagent_word=${__keyagent_rest%%,*}
    __keyagent_rest=${__keyagent_rest#"$__keyagent_word"}
    __keyagent_rest=${__keyagent_rest#,}
    __keyagent_word=${__keyagent_word%%=*}
    # Not `=~`: what the user has matched is in BASH_REMATCH.
    case $__keyagent_word in
      # No manifest may bind these, so no record of ours has them.
      '' | [!A-Za-z_]* | *[!A-Za-z0-9_]* | __keyagent_* | KEYAGENT_* | BASH* | PATH | HOME | IFS | PS[0-9] | PROMPT*) ;;
      *) __keyagent_vars+=("$__keyagent_word") ;;
    esac
  done
}

# Last of all, so that direnv comes first. On a line of its own, whatever the one before
# ends with.
__keyagent_install() {
  [[ ${PROMPT_COMMAND[*]-} != *__keyagent_prompt* ]] || return 0
  # shellcheck disable=SC2128,SC2178 # a string, or an array that bash knew only from 5.1 on
  if [[ $(declare -p PROMPT_COMMAND 2>/dev/null) == 'declare -a'* ]] &&
    ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] > 500)); then
    PROMPT_COMMAND+=(__keyagent_prompt)
  else
    PROMPT_COMMAND=${PROMPT_COMMAND:+$PROMPT_COMMAND$'\n'}__keyagent_prompt
  fi
}

# The first keys are there before the first prompt.
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] > 403)); then
  declare -gA __keyagent_before # how each variable was that is ours now; empty if unset
  __keyagent_install
  __keyagent_prompt
else
  printf 'keyagent: the hook needs bash 4.4 or newer\n' >&2
fi

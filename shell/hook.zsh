# keyagent for zsh: the keys of a project come when you enter it, and go when you leave.
# In ~/.zshrc, at the end:  eval "$(keyagent hook zsh)"          (zsh 5.8 or newer)
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
__keyagent_mark=          # a file that is there as long as the agent knows nothing newer
__keyagent_later=         # set if a key could not be loaded before the next prompt
__keyagent_seen=          # all else that was looked at when keyagent was asked last
__keyagent_record=        # KEYAGENT_LOADED, as it was written here
__keyagent_entered=       # the manifest whose overrides were named
typeset -ga __keyagent_places  # where a manifest may be, the nearest first
typeset -ga __keyagent_vars    # the variables that a record names
typeset -gA __keyagent_before  # how each variable was that is ours now; empty if unset

# Before each prompt, and after each cd. zsh itself keeps `$?` for the next such function. What
# may fail has `|| :` behind it, for the user may have a trap on failures.
__keyagent_prompt() {
  emulate -L zsh
  setopt no_err_exit no_err_return
  local __keyagent_place= __keyagent_manifest= __keyagent_text= __keyagent_now=
  [[ $PWD == "$__keyagent_pwd" ]] || __keyagent_list_places
  for __keyagent_place in "${__keyagent_places[@]}"; do
    if [[ -e $__keyagent_place ]]; then
      __keyagent_manifest=$__keyagent_place
      break
    fi
  done
  if [[ -f $__keyagent_manifest && -r $__keyagent_manifest ]]; then
    IFS= read -r -k $__keyagent_text_max -u 0 __keyagent_text <"$__keyagent_manifest" || :
  fi
  __keyagent_now=$__keyagent_manifest:${KEYAGENT_PROFILE-}:${KEYAGENT_SOCK-}:$__keyagent_text
  if [[ $__keyagent_seen != "$__keyagent_now:${KEYAGENT_LOADED-}:${DIRENV_KEYAGENT-}" ]]; then
    __keyagent_reload
  elif [[ -n $__keyagent_mark && ! -e $__keyagent_mark ]]; then
    # Whoever has stopped the agent did not mean the next prompt to start it.
    __keyagent_reload --if-running
  fi
}

# Upward from where we stand, never above a directory of another owner; then the user's own.
# The agent is asked by the kernel's path, so links on the way are left out of it.
__keyagent_list_places() {
  local __keyagent_dir=${PWD:P}
  __keyagent_pwd=$PWD
  __keyagent_places=()
  while [[ $__keyagent_dir == /* && -O $__keyagent_dir ]] &&
    (( $#__keyagent_places < __keyagent_places_max )); do
    __keyagent_places+=("${__keyagent_dir%/}/keyagent.toml")
    [[ $__keyagent_dir != / ]] || break
    __keyagent_dir=${__keyagent_dir%/*}
    __keyagent_dir=${__keyagent_dir:-/}
  done
  __keyagent_dir=${XDG_CONFIG_HOME-}
  [[ $__keyagent_dir == /* ]] || __keyagent_dir=${HOME-}/.config
  __keyagent_places+=("$__keyagent_dir/keyagent/keyagent.toml")
}

# Nothing of what follows is traced, nor heard by a trap.
__keyagent_reload() { # [--if-running]
  { setopt local_options local_traps no_xtrace no_verbose; trap - DEBUG ZERR } 2>/dev/null
  __keyagent_load "$@"
  __keyagent_note
}

# Asks, and has the variables be what the answer says.
__keyagent_load() { # [--if-running]
  local __keyagent_answer=
  __keyagent_later=
  __keyagent_mark=
  __keyagent_adopt
  if [[ -n ${DIRENV_KEYAGENT-} ]]; then
    __keyagent_give_way
    return
  fi
  # The keys of another project go, though the answer may never come; and whoever breaks off
  # the wait for it is not made to wait at the next prompt again.
  if [[ $__keyagent_entered != "$__keyagent_manifest" ]]; then
    __keyagent_begin ''
    __keyagent_entered=
  fi
  __keyagent_note
  if [[ -n $__keyagent_manifest ]]; then
    __keyagent_answer=$("$__keyagent_client" export --format zsh --hook "$@" \
      ${KEYAGENT_PROFILE:+"--profile=$KEYAGENT_PROFILE"} </dev/null)
  fi
  eval "${__keyagent_answer:-__keyagent_begin ''}"
  __keyagent_entered=$__keyagent_manifest
}

# Remembers all that was looked at.
__keyagent_note() {
  __keyagent_seen=$__keyagent_now:${KEYAGENT_LOADED-}:${DIRENV_KEYAGENT-}
  [[ -z $__keyagent_later ]] || __keyagent_seen=
}

# What keyagent prints: first this, whatever comes of the keys.
__keyagent_begin() { # MARK
  local __keyagent_var=
  for __keyagent_var in "${(@k)__keyagent_before}"; do
    __keyagent_restore "$__keyagent_var"
  done
  unset KEYAGENT_LOADED
  __keyagent_record=
  __keyagent_mark=$1
}

# Then this for each key.
__keyagent_put() { # VAR VALUE
  local __keyagent_was=
  if [[ -v $1 ]]; then
    case ${(Pt)1} in
      *readonly*)
        print -ru2 -- "keyagent: cannot set \`$1\`: it is read-only in this shell"
        return
        ;;
      # What zsh calculates, runs or looks up whenever it is set.
      *special* | *tied*)
        print -ru2 -- "keyagent: cannot set \`$1\`: it means something to zsh itself"
        return
        ;;
      # A function's own, which ends with it: the next prompt sees to the one that stays.
      *local*)
        __keyagent_later=1
        return
        ;;
    esac
    if [[ -z $__keyagent_entered && ${(P)1} != "$2" ]]; then
      print -ru2 -- "keyagent: \`$1\` was set already; it has the vault's value now"
    fi
    # A shell inside this one has only the environment to know it by.
    if [[ ${(Pt)1} == *export* ]]; then
      export "KEYAGENT_OLD_$1=${(P)1}"
    fi
    __keyagent_describe "$1"
  fi
  __keyagent_before[$1]=$__keyagent_was
  # Attributes go: an integer would be calculated, and a calculation can run commands.
  unset "$1"
  export "$1=$2"
}

# The command that makes a variable what it is now. Not by `typeset -p`: what that prints of
# some bytes ends its own quotes, and what comes after them would be run.
__keyagent_describe() { # VAR
  local __keyagent_type=${(Pt)1} __keyagent_flags=-g
  local __keyagent_pair=
  local -a __keyagent_list
  for __keyagent_pair in export:x lower:l upper:u hideval:H hide:h unique:U tag:t; do
    [[ -$__keyagent_type- != *-${__keyagent_pair%:*}-* ]] || __keyagent_flags+=${__keyagent_pair#*:}
  done
  case $__keyagent_type in
    array*)
      __keyagent_list=("${(@P)1}")
      __keyagent_was="typeset ${__keyagent_flags}a $1=( ${(j: :)${(@qq)__keyagent_list}} )"
      ;;
    association*)
      # The one way to its keys. A name is all that is evaluated.
      eval "__keyagent_list=(\"\${(@kv)$1}\")"
      __keyagent_was="typeset ${__keyagent_flags}A $1=( ${(j: :)${(@qq)__keyagent_list}} )"
      ;;
    integer*) __keyagent_was="typeset ${__keyagent_flags}i $1=${(qq)${(P)1}}" ;;
    float*) __keyagent_was="typeset ${__keyagent_flags}F $1=${(qq)${(P)1}}" ;;
    *) __keyagent_was="typeset $__keyagent_flags $1=${(qq)${(P)1}}" ;;
  esac
}

# And last this.
__keyagent_end() { # RECORD
  export KEYAGENT_LOADED=$1
  __keyagent_record=$1
}

# Puts a variable back as it was: unset, or the user's own, exported or not.
__keyagent_restore() { # VAR
  if [[ ${(Pt)1} == *readonly* ]]; then
    print -ru2 -- "keyagent: cannot take \`$1\` away: it is read-only in this shell"
  else
    unset "$1"
    eval "$__keyagent_before[$1]"
  fi
  unset "KEYAGENT_OLD_$1" "__keyagent_before[$1]"
}

# What a shell around this one has loaded is not the user's own either.
__keyagent_adopt() {
  [[ -n ${KEYAGENT_LOADED-} && $KEYAGENT_LOADED != "$__keyagent_record" ]] || return 0
  local __keyagent_var= __keyagent_old=
  __keyagent_list_vars "$KEYAGENT_LOADED"
  for __keyagent_var in "${__keyagent_vars[@]}"; do
    (( ! ${+__keyagent_before[$__keyagent_var]} )) || continue
    __keyagent_old=KEYAGENT_OLD_$__keyagent_var
    __keyagent_before[$__keyagent_var]=
    if [[ -v $__keyagent_old ]]; then
      __keyagent_before[$__keyagent_var]="export $__keyagent_var=${(qq)${(P)__keyagent_old}}"
    fi
  done
}

# direnv has loaded the project's keys, and takes them out again: ours go, less those that
# are its own now. What it then puts back is ours, so the record of it stays, for a shell
# inside this one.
__keyagent_give_way() {
  local __keyagent_var= __keyagent_left=
  __keyagent_list_vars "$DIRENV_KEYAGENT"
  for __keyagent_var in "${(@k)__keyagent_before}"; do
    if (( ! ${__keyagent_vars[(Ie)$__keyagent_var]} )); then
      __keyagent_restore "$__keyagent_var"
      __keyagent_left=$__keyagent_var
    fi
  done
  # Of a record that is not true any more, nothing stays.
  if [[ -n $__keyagent_left ]] || (( $#__keyagent_before == 0 )); then
    unset KEYAGENT_LOADED
    __keyagent_record=
  fi
}

# The variables that a record names: PROFILE VAR=SECRET@VERSION,… DIRECTORY.
__keyagent_list_vars() { # RECORD
  local __keyagent_word= __keyagent_rest=${1#* }
  __keyagent_vars=()
  (( $#1 <= __keyagent_record_max )) || return 0
  for __keyagent_word in "${(@s:,:)${__keyagent_rest%% *}}"; do
    __keyagent_word=${__keyagent_word%%=*}
    case $__keyagent_word in
      # No manifest may bind these, so no record of ours has them.
      ('' | [^A-Za-z_]* | *[^A-Za-z0-9_]* | __keyagent_* | KEYAGENT_* | PATH | HOME | IFS | PS[0-9] | PROMPT*) ;;
      (*) __keyagent_vars+=("$__keyagent_word") ;;
    esac
  done
}

# Last of all, so that direnv comes first.
__keyagent_install() {
  emulate -L zsh
  typeset -ga precmd_functions chpwd_functions
  (( ${precmd_functions[(Ie)__keyagent_prompt]} )) || precmd_functions+=(__keyagent_prompt)
  (( ${chpwd_functions[(Ie)__keyagent_prompt]} )) || chpwd_functions+=(__keyagent_prompt)
}

# The first keys are there before the first prompt.
__keyagent_install
__keyagent_prompt

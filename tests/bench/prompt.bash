#!/usr/bin/env bash
# One round of what a hook costs in bash. Prints microseconds, separated by tabs: a call of
# an empty function; a call of the hook where nothing changed, two directories below a
# project; the same outside of any; entering a project from another one, by `cd` and the
# hook; and between, where the hook is ours, `keyagent exec -- true`.
# usage: prompt.bash keyagent|direnv|fnox|mise CALLS ENTRIES ONE OTHER OUTSIDE
# shellcheck disable=SC2164 # a `cd` that fails leaves no keys, which ends it
calls=$2 entries=$3 one=$4 other=$5 outside=$6

empty() {
  :
}

case $1 in
keyagent)
  eval "$(keyagent hook bash)"
  hook=__keyagent_prompt
  ;;
direnv)
  eval "$(direnv hook bash)"
  hook=_direnv_hook
  ;;
fnox)
  eval "$(fnox activate bash)"
  hook=_fnox_hook
  ;;
mise)
  eval "$(mise activate bash)"
  hook=_mise_hook_prompt_command
  ;;
esac

# print TOTAL COUNT: the mean, with a tab behind it.
print() {
  local nanos=$(($2 ? $1 * 1000 / $2 : 0))
  printf '%d.%03d\t' $((nanos / 1000)) $((nanos % 1000))
}

time_calls() { # FUNCTION
  local i start=${EPOCHREALTIME/[.,]/}
  for ((i = 0; i < calls; i++)); do
    "$1"
  done
  print $((${EPOCHREALTIME/[.,]/} - start)) "$calls"
}

settle() { # DIRECTORY
  cd "$1"
  "$hook"
  "$hook"
}

time_entries() {
  local i to start entered=0 ran=0
  settle "$one"
  for ((i = 0; i < entries; i++)); do
    to=$other
    ((i % 2 == 0)) || to=$one
    start=${EPOCHREALTIME/[.,]/}
    cd "$to"
    "$hook"
    ((entered += ${EPOCHREALTIME/[.,]/} - start))
    [[ $hook == __keyagent_prompt ]] || continue
    start=${EPOCHREALTIME/[.,]/}
    keyagent exec -- /bin/true
    ((ran += ${EPOCHREALTIME/[.,]/} - start))
  done
  print "$entered" "$entries"
  print "$ran" "$entries"
}

[[ ${EPOCHREALTIME-} ]] || exit 1
settle "$one/a/b"
[[ ${BENCH_KEY_5-} ]] || exit 1
time_calls empty
time_calls "$hook"
settle "$outside"
[[ ! ${BENCH_KEY_5-} ]] || exit 1
time_calls "$hook"
time_entries
[[ ${BENCH_KEY_5-} ]]

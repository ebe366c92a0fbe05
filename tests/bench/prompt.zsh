#!/usr/bin/env zsh
# What prompt.bash measures, in zsh. A `cd` calls the hook, too, and the prompt calls it again.
# usage: prompt.zsh keyagent CALLS ENTRIES ONE OTHER OUTSIDE
zmodload zsh/datetime
typeset -i calls=$2 entries=$3
one=$4 other=$5 outside=$6
hook=__keyagent_prompt
eval "$(keyagent hook zsh)"

empty() {
  :
}

# show TOTAL COUNT: the mean of what was measured in seconds, with a tab behind it.
show() {
  printf '%.3f\t' $(( $2 ? $1 * 1e6 / $2 : 0 ))
}

time_calls() { # FUNCTION
  local -F start=$EPOCHREALTIME
  repeat $calls; do
    $1
  done
  show $(( EPOCHREALTIME - start )) $calls
}

settle() { # DIRECTORY
  cd $1
  $hook
}

time_entries() {
  local -F start entered=0 ran=0
  local -i i
  local to
  settle $one
  for (( i = 0; i < entries; i++ )); do
    to=$other
    (( i % 2 == 0 )) || to=$one
    start=$EPOCHREALTIME
    cd $to
    $hook
    (( entered += EPOCHREALTIME - start ))
    start=$EPOCHREALTIME
    keyagent exec -- /bin/true
    (( ran += EPOCHREALTIME - start ))
  done
  show $entered $entries
  show $ran $entries
}

settle $one/a/b
[[ -n $BENCH_KEY_5 ]] || exit 1
time_calls empty
time_calls $hook
settle $outside
[[ -z $BENCH_KEY_5 ]] || exit 1
time_calls $hook
time_entries
[[ -n $BENCH_KEY_5 ]]

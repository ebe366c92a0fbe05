# shellcheck shell=bash disable=SC2154
# What a prompt costs, and entering a project: our hooks in each shell that is installed, and
# in bash the hooks of the peers. Sourced by run.sh.

# The hooks that make a round. prompt.bash says what a round is.
hooks=()
prompt_rounds=25
# A cheap hook is called often, so that the clock counts for nothing; one that starts a
# program is not.
calls_cheap=1000
calls_dear=10
entries=3

is_ours() {
  [[ $1 == bash || $1 == zsh || $1 == fish ]]
}

# run_hook [RUNNER…] -- NAME CALLS ENTRIES: one round, perhaps under another program.
run_hook() {
  local runner=() place=$home/hooks/keyagent shell=(bash --norc "$here/prompt.bash") hook=keyagent
  while [[ $1 != -- ]]; do
    runner+=("$1")
    shift
  done
  case $2 in
  bash) ;;
  zsh) shell=(zsh -f "$here/prompt.zsh") ;;
  fish) shell=(fish --no-config "$here/prompt.fish") ;;
  *) place=$home/hooks/$2 hook=$2 ;;
  esac
  (cd "$home" && "${runner[@]}" "${shell[@]}" "$hook" "$3" "$4" \
    "$place/one" "$place/other" "$home/hooks/none/a/b") 2>"$home/hook.log"
}

# The two projects of a hook, with somewhere to stand in each: each_project NAME COMMAND.
each_project() {
  local directory
  for directory in "$home/hooks/$1"/{one,other}; do
    mkdir -p "$directory/a/b"
    "$2" "$directory" || return 1
  done
}

make_own_project() {
  make_project "$1" 5
}

# Whatever makes no round is left out.
start_hooks() {
  local hook
  mkdir -p "$home/hooks/none/a/b"
  each_project keyagent make_own_project
  for hook in bash zsh fish direnv fnox mise; do
    is_ours "$hook" || has_peer "$hook" || continue
    if run_hook -- "$hook" 1 1 >/dev/null; then
      hooks+=("$hook")
    else
      note "left out: the hook of $hook"
    fi
  done
}

calls_of() {
  if is_ours "$1"; then echo "$calls_cheap"; else echo "$calls_dear"; fi
}

# One line for each round, as `rounds` writes it.
measure_hooks() {
  local round hook
  note "prompts, $prompt_rounds rounds"
  start_hooks
  ((${#hooks[@]})) || die "no hook makes a round"
  printf '%s\n' "${hooks[@]}" | awk -v ORS='\t' \
    '{ print $1 ".empty"; print $1 ".same"; print $1 ".outside"; print $1 ".enter"; print $1 ".exec" }' |
    sed 's/\t$/\n/' >"$home/hooks.tsv"
  for ((round = 0; round < prompt_rounds; round++)); do
    for hook in "${hooks[@]}"; do
      run_hook -- "$hook" "$(calls_of "$hook")" "$entries" || die "the hook of $hook failed"
    done | sed 's/\t$/\n/' >>"$home/hooks.tsv"
  done
}

# The processes that 50 prompts where nothing changed start in a project, and 50 outside of
# any: what they have more than no prompt. Threads are none.
count_forks() {
  local calls before=0 forks=0
  for calls in 0 50; do
    run_hook strace -f -qq -e trace=clone,clone3,fork,vfork -e signal=none -o "$home/trace" \
      -- "$1" "$calls" 0 >/dev/null || return 0
    before=$forks
    forks=$(grep -E '^[0-9]+ +(clone3?|fork|vfork)\(' "$home/trace" | grep -vc CLONE_THREAD || true)
  done
  echo $((forks - before))
}

measure_forks() {
  local hook
  has strace || return 0
  note "processes that a prompt starts"
  for hook in "${hooks[@]}"; do
    printf '%s\t%s\n' "$hook" "$(count_forks "$hook")"
  done >"$home/forks.tsv"
}

forks_of() {
  [[ ! -f $home/forks.tsv ]] || awk -v hook="$1" '$1 == hook { print $2 }' "$home/forks.tsv"
}

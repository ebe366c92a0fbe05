# shellcheck shell=bash disable=SC2154,SC2016
# The measurements as Markdown, each beside its goal. Sourced by run.sh.

# median FILE time A | ratio A B | added A B
median() {
  local file=$1
  shift
  awk -f "$here/median.awk" -v get="$*" "$file"
}

# verdict VALUE LIMIT: whether the goal holds. `unknown` where nothing was measured.
verdict() {
  if [[ -z $1 ]]; then
    echo unknown
  else
    awk -v value="$1" -v limit="$2" 'BEGIN { print value <= limit ? "yes" : "**no**" }'
  fi
}

round_number() {
  printf '%.0f' "$1"
}

row() {
  local cell
  printf '|'
  for cell in "$@"; do
    printf ' %s |' "$cell"
  done
  printf '\n'
}

head_row() {
  row "$@"
  printf '|'
  printf -- '---|%.0s' "$@"
  printf '\n'
}

# What each job is called in print.
title() {
  case $1 in
  true) echo '`/bin/true`' ;;
  noop) echo 'a static program that does nothing' ;;
  floor) echo '**floor: static C client**' ;;
  keyagent5) echo '**`keyagent exec`, 5 keys**' ;;
  keyagent100) echo '**`keyagent exec`, 100 keys of 10,000**' ;;
  plain) echo '`sh -c '"'. file; exec true'"'`, plain text' ;;
  age | rage) echo "\`$1 -d\`, eval, exec" ;;
  fnox | mise) echo "\`$1 exec\`, values sealed by age" ;;
  direnv) echo '`direnv exec`, keys in plain text' ;;
  direnv_use) echo '`direnv exec`, `use keyagent`' ;;
  direnv_mise) echo '`direnv exec`, `use mise`' ;;
  pass) echo '`pass show` (one file), eval, exec' ;;
  ssh_add) echo '`ssh-add -l` (a round trip, no exec)' ;;
  gpg_agent) echo '`gpg-connect-agent` (a round trip, no exec)' ;;
  *) echo "$1" ;;
  esac
}

command_table() {
  local name file=$home/commands.tsv
  head_row "5 keys, then \`true\`" "median µs" "× \`true\`" "× floor" "adds µs"
  for name in $(head -n 1 "$file" | tr '\t' '\n'); do
    printf '%s\t%s\n' "$(median "$file" time "$name")" "$name"
  done | sort -n | cut -f 2 | while read -r name; do
    row "$(title "$name")" "$(round_number "$(median "$file" time "$name")")" \
      "$(median "$file" ratio "$name" true)" "$(median "$file" ratio "$name" floor)" \
      "$(round_number "$(median "$file" added "$name" true)")"
  done
}

hook_title() {
  case $1 in
  bash | zsh | fish) echo "**keyagent, $1**" ;;
  *) echo "$1, bash" ;;
  esac
}

# hook_median COLUMN [DIGITS]
hook_median() {
  printf "%.${2:-0}f" "$(median "$home/hooks.tsv" time "$1")"
}

hook_table() {
  local hook
  head_row "a hook, µs" "empty function" "nothing changed" "outside of any project" \
    "processes in 100 prompts" "entering, 5 keys" "× \`keyagent exec -- true\`"
  for hook in "${hooks[@]}"; do
    row "$(hook_title "$hook")" "$(hook_median "$hook.empty" 1)" "$(hook_median "$hook.same")" \
      "$(hook_median "$hook.outside")" "$(forks_of "$hook")" "$(hook_median "$hook.enter")" \
      "$(median "$home/hooks.tsv" ratio "$hook.enter" "$(exec_column "$hook")")"
  done
}

# Started by the same shell; for the peers, by bash, which theirs are.
exec_column() {
  if is_ours "$1"; then echo "$1.exec"; else echo bash.exec; fi
}

servers() {
  head -n 1 "$home/requests.tsv" | tr '\t' '\n' | sed -n 's/\.own1\.p50$//p'
}

request_median() {
  round_number "$(median "$home/requests.tsv" time "$1")"
}

request_table() {
  local name
  head_row "one request" "own connection: p50 / p99 µs" "16 clients: req/s, p99 µs" \
    "kept open: p50 µs" "reply bytes"
  for name in $(servers); do
    row "$name" "$(request_median "$name.own1.p50") / $(request_median "$name.own1.p99")" \
      "$(request_median "$name.own16.rps"), $(request_median "$name.own16.p99")" \
      "$(request_median "$name.kept1.p50")" "$(request_median "$name.own1.bytes")"
  done
}

# goal WHAT MEASURED GOAL VALUE LIMIT
goal() {
  row "$1" "$2" "$3" "$(verdict "$4" "$5")"
}

exec_goals() {
  local file=$home/commands.tsv x peer fastest=
  x=$(median "$file" ratio keyagent5 floor)
  goal "\`exec -- true\`, 5 keys, warm" "$x × floor" "≤ 1.5" "$x" 1.5
  for peer in age rage pass fnox mise; do
    ! has_peer "$peer" || fastest+="$(median "$file" added "$peer" true) $peer"$'\n'
  done
  if [[ -n $fastest ]]; then
    read -r _ peer < <(sort -n <<<"${fastest%$'\n'}")
    x=$(awk -v a="$(median "$file" added keyagent5 true)" \
      -v b="$(median "$file" added "$peer" true)" 'BEGIN { printf "%.3f", a / b }')
    goal "what it adds to \`true\`" "$x × what $peer adds" "≤ 0.125 of the fastest peer" "$x" 0.125
  fi
  x=$(median "$file" ratio keyagent100 keyagent5)
  goal "100 keys of 10,000" "$x × 5 keys" "≤ 1.5" "$x" 1.5
  if has_peer direnv_use && has_peer direnv; then
    x=$(median "$file" added direnv_use direnv)
    goal "\`use keyagent\` in direnv" "adds $(round_number "$x") µs" "≤ 3000" "$x" 3000
  fi
}

has_hook() {
  [[ " ${hooks[*]} " == *" $1 "* ]]
}

hook_goals() {
  local file=$home/hooks.tsv shell limit x most=
  for shell in bash:50 zsh:100 fish:100; do
    limit=${shell#*:} shell=${shell%:*}
    has_hook "$shell" || continue
    x=$(hook_median "$shell.same")
    goal "a prompt where nothing changed, $shell" \
      "$x µs (an empty function $(hook_median "$shell.empty" 1))" "≤ $limit" "$x" "$limit"
    x=$(forks_of "$shell")
    [[ -z $x ]] || ((x <= ${most:-0})) || most=$x
  done
  [[ ! -f $home/forks.tsv ]] || most=${most:-0}
  goal "processes that 100 such prompts start" "${most:-not measured}" "0" "$most" 0
  has_hook bash || return 0
  x=$(median "$file" ratio bash.enter bash.exec)
  goal "entering a project with 5 keys, bash" "$x × \`exec -- true\`" "≤ 3" "$x" 3
}

request_goals() {
  local file=$home/requests.tsv x
  x=$(median "$file" ratio keyagentd.own1.p50 echo.own1.p50)
  goal "request, own connection, p50" "$x × echo" "≤ 2" "$x" 2
  if has_peer ssh_add; then
    x=$(median "$file" ratio keyagentd.own1.p50 ssh-agent.own1.p50)
    goal "the same" "$x × ssh-agent" "< 1" "$x" 0.99
    x=$(median "$file" ratio ssh-agent.own16.rps keyagentd.own16.rps)
    goal "16 clients, requests a second" "ssh-agent's are $x × ours" "≤ 1" "$x" 1
  fi
  x=$(median "$file" ratio keyagentd.own16.p99 echo.own16.p99)
  goal "16 clients, p99" "$x × echo" "≤ 3" "$x" 3
}

size_goals() {
  local bytes linkage x
  bytes=$(wc -c <"$dist/keyagent")
  linkage=$(ldd "$dist/keyagent" 2>&1 || true)
  linkage=$(grep -oE 'statically linked|not a dynamic executable' <<<"$linkage" || echo dynamic)
  goal "client, size" "$((bytes / 1024)) KiB" "≤ 1536" "$((bytes / 1024))" 1536
  row "client, linkage (\`ldd\`)" "$linkage" "static" "$([[ $linkage == dynamic ]] && echo '**no**' || echo yes)"
  x=${client_calls_before_exec:-}
  goal "client, system calls up to \`execve\`" "${x:-not measured} (${client_calls:-?} with those of \`true\`; the floor's ${floor_calls:-?})" "≤ 60" "$x" 60
  goal "client, threads and forks" "${client_threads:-not measured}" "0" "${client_threads:-}" 0
  goal "agent, its own memory, idle, 1,000 secrets" "${one_thousand_kib:-not measured (needs root)} KiB" "≤ 6144" "${one_thousand_kib:-}" 6144
  row "the same, 10,000 secrets" "${ten_thousand_kib:-not measured} KiB" "" ""
  goal "agent, wake-ups in 60 s, idle" "$wakeups" "≤ 1" "$wakeups" 1
  x=$(median "$home/locking.tsv" time unlock)
  goal "unlock less scrypt, 10,000 secrets" "$(round_number "$x") µs" "≤ 50,000" "$x" 50000
  x=$(median "$home/locking.tsv" time lock)
  goal "lock, 10,000 secrets" "$(round_number "$x") µs" "≤ 50,000" "$x" 50000
}

tables() {
  printf '%s, Linux %s, %s, %s × %s.\n' "$(date -u +%F)" "$(uname -r)" "$(uname -m)" "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: //p;' /proc/cpuinfo | head -n 1)"
  printf 'Medians of %s rounds (commands), %s (hooks) and %s (requests).\n\n' "$rounds" "$prompt_rounds" "$load_rounds"
  head_row goal measured wanted holds
  exec_goals
  hook_goals
  request_goals
  size_goals
  echo
  command_table
  echo
  hook_table
  echo
  request_table
}

# Replaces what lies between the two marks of the page.
write_page() {
  awk -v tables="$2" '
    /^<!-- end of tables -->$/ { inside = 0 }
    !inside { print }
    /^<!-- tables: tests\/bench\/run.sh --write -->$/ {
      inside = 1; print ""
      while ((getline line < tables) > 0) print line
      print ""
    }' "$1" >"$1.new"
  mv "$1.new" "$1"
}

#!/usr/bin/env bash
# Seals a copy of an .envrc in a throw-away home, proves that its keys arrive in a command,
# and leaves nothing behind.
# usage: packaging/try.sh [FILE]     FILE is an .envrc, .env or JSON file of your own; it is
#                                    only read, and none of its values is shown
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in
-h | --help)
  sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}"
  exit
  ;;
esac
file=${1:-$here/sample.envrc}
own_file=$#
name=${file##*/}
((own_file)) || name=.envrc
home=
pid=

die() {
  printf '\ntry.sh: failed: %s\n' "$1" >&2
  exit 1
}

step=0
say() {
  step=$((step + 1))
  printf '\n%d. %s\n' "$step" "$1"
}

indent() {
  sed 's/^/   | /'
}

# The client in its own small world: nothing of the caller's environment reaches it.
k() {
  env -i PATH="$dist:$PATH" TERM="${TERM:-dumb}" NO_COLOR=1 HOME="$home" \
    XDG_RUNTIME_DIR="$home/run" XDG_CONFIG_HOME="$home/config" XDG_DATA_HOME="$home/data" \
    XDG_STATE_HOME="$home/state" XDG_CACHE_HOME="$home/cache" \
    "$dist/keyagent" "$@" </dev/null
}

# Shows the command, runs it, and stops the show if it fails.
run() {
  printf '   $ keyagent %s\n' "$*"
  k "$@" >"$home/output" 2>&1 || {
    indent <"$home/output"
    die "keyagent $1 exited with $?"
  }
  indent <"$home/output"
}

agent_pid() {
  k status --json 2>/dev/null | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' | head -n 1
}

# Its number may be another program's by now, so its name counts too.
is_running() {
  [[ -n $pid && $(readlink "/proc/$pid/exe" 2>/dev/null) == "$dist/keyagentd"* ]]
}

wait_for_end() {
  local try
  for ((try = 0; try < 50; try++)); do
    is_running || return 0
    sleep 0.1
  done
  return 1
}

# Wherever this is interrupted: an agent that was started goes, and then its home.
clean_up() {
  [[ -n $home && -d $home ]] || return 0
  [[ -n $pid ]] || pid=$(agent_pid || true)
  k stop >/dev/null 2>&1 || true
  wait_for_end || kill -KILL "$pid"
  cd /
  rm -rf "$home"
}

# /dev/shm is memory: the copy of the file never touches the disk.
make_home() {
  local base=${TMPDIR:-/tmp}
  [[ ! -d /dev/shm || ! -w /dev/shm ]] || base=/dev/shm
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  home=$(umask 077 && mktemp -d "$base/keyagent-try.XXXXXX")
  (umask 077 && mkdir "$home"/{run,config,data,state,cache,acme} && cp "$file" "$home/original")
  install -m 600 "$file" "$home/acme/$name"
  cd "$home/acme"
}

# A file of the user's own is shown by its names alone.
show() {
  if ((own_file)); then
    grep -oE '^[[:space:]]*((export[[:space:]]+)?[A-Za-z_][A-Za-z0-9_]*=|"[A-Za-z_][A-Za-z0-9_]*"[[:space:]]*:|use keyagent.*)' "$1" |
      sed -E 's/([=:])$/\1 …/' | indent || echo '   | (nothing that looks like a variable)'
  else
    indent <"$1"
  fi
}

bound_names() {
  sed -n '/^\[env\]/,/^\[profile/s/^\([A-Za-z_][A-Za-z0-9_]*\)[[:space:]]*=.*/\1/p' keyagent.toml
}

# Runs in bash under `keyagent exec`. $1 is the original, $2 what the agent wrote, the rest
# are names. Values stay in variables and in pipes from builtins: never an argument.
prove_inside() {
  local original written=$2 name value verdict bad=0
  original=$'\n'$(<"$1")$'\n'
  shift 2
  for name in "$@"; do
    value=${!name-}
    verdict="the same as in the file"
    if [[ ! -v $name ]]; then
      verdict=MISSING bad=1
    elif ! is_assigned "$name" "$value" "$original"; then
      verdict="written in the file in a way that this script does not read; see step 7"
    fi
    if ((${#value} >= 8)) && lies_under "$written" "$value"; then
      verdict="IN PLAIN TEXT under $written" bad=1
    fi
    printf '%-24s %5d bytes  %s\n' "$name" "${#value}" "$verdict"
  done
  return "$bad"
}

# Whether a line of the value lies in a file there. A short line proves nothing, and an empty
# pattern matches everything.
lies_under() {
  local lines
  lines=$(printf '%s\n' "$2" | awk 'length >= 8')
  [[ -n $lines ]] && printf '%s\n' "$lines" | grep -rqF -f - "$1"
}

# Whether the text assigns just that value, in one of the ways that shells and JSON write it.
is_assigned() {
  local shell=$2 json=$2 single=$2 prefix form before='[[:space:];{,]' after='[[:space:];,}]'
  shell=${shell//\\/\\\\} shell=${shell//\"/\\\"} shell=${shell//\$/\\\$} shell=${shell//\`/\\\`}
  json=${json//\\/\\\\} json=${json//\"/\\\"} json=${json//$'\n'/\\n} json=${json//$'\t'/\\t}
  single=${single//\'/\'\\\'\'}
  for form in "$2" "\"$2\"" "'$single'" "\"$shell\"" "\"$json\"" "$(printf %q "$2")"; do
    for prefix in "$1=" "$1 = " "\"$1\":" "\"$1\": "; do
      [[ $3 != *$before"$prefix$form"$after* ]] || return 0
    done
  done
  return 1
}

prove() {
  local names
  names=$(bound_names)
  [[ -n $names ]] || die "keyagent.toml binds no key"
  printf "   \$ keyagent exec -- bash -c '(name, length, and whether it is the same)'\n"
  # shellcheck disable=SC2086 # one word a name
  k exec -- bash -c "$(declare -f is_assigned lies_under prove_inside); prove_inside \"\$@\"" prove \
    "$home/original" "$home/data" $names >"$home/output" 2>&1 || {
    indent <"$home/output"
    die "not every key arrived, or one lies in plain text"
  }
  indent <"$home/output"
}

[[ -f $file && -r $file ]] || die "cannot read $file"
file=$(cd "$(dirname "$file")" && pwd)/${file##*/}
before=$(cksum <"$file")

say "Build keyagent (the client) and keyagentd (the agent), in release mode."
built=$("$here/build.sh") || die "it does not build"
indent <<<"$built"
dist=$(dirname "${built%% (*}")

make_home
say "A home to throw away, and a copy of ${file/#$here/packaging} in it: a project full of keys."
show "$name"

say "Make a vault. Without a passphrase, for this demonstration only."
run init --no-passphrase

say "Move the keys out of $name, into the vault."
run import "$name" --replace
[[ -f keyagent.toml ]] || die "import found no key in $name"

say "What is left: names, and no key."
echo "   $name:"
show "$name"
echo "   keyagent.toml:"
indent <keyagent.toml
! cmp -s "$name" "$home/original" || die "$name was not rewritten"

say "Run a command with the keys. It gets them by execve, and only it."
prove

say "Change your mind: --undo gives the file back, byte for byte."
run import "$name" --undo
cmp -s "$name" "$home/original" || die "$name came back different"
echo "   identical to the original"

say "Lock the agent: from here on nobody gets a key."
run lock
echo "   \$ keyagent exec -- true"
if k exec --env TRY=none -- true >/dev/null 2>"$home/output"; then
  die "a locked agent handed out keys"
fi
indent <"$home/output"

say "Stop the agent, and remove every trace of this."
pid=$(agent_pid)
run stop
wait_for_end || die "the agent is still running"
clean_up
[[ ! -e $home ]] || die "$home is still there"
[[ $(cksum <"$file") == "$before" ]] || die "$file changed"
echo "   no process, no file; ${file/#$here/packaging} is as it was"
printf '\nThat was it. For real: packaging/install.sh\n'

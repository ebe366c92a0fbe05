#!/usr/bin/env bash
# Measures keyagent beside the floors (C programs built here) and whichever peers are
# installed, in a throw-away home, and prints a table with the goal beside each line.
# Only ratios within one run say anything: the machine is never the same twice.
# usage: tests/bench/run.sh [--write] [--rounds N]
#   --write      puts the tables into docs/performance.md
#   --rounds N   how often each command runs (60)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
[[ $target_dir == /* ]] || target_dir=$PWD/$target_dir
export CARGO_TARGET_DIR=$target_dir
floors=$target_dir/bench
PATH=$target_dir/tools/bin:$PATH
write=0
rounds=60
load_rounds=5
load_seconds=1.5
home=
background=()

# shellcheck source=tests/bench/jobs.sh
source "$here/jobs.sh"
# shellcheck source=tests/bench/shells.sh
source "$here/shells.sh"
# shellcheck source=tests/bench/table.sh
source "$here/table.sh"

die() {
  printf 'bench: %s\n' "$1" >&2
  exit 1
}

note() {
  printf 'bench: %s\n' "$*" >&2
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# A command is heard only when it fails.
quietly() {
  "$@" >"$home/output" 2>&1 </dev/null || {
    cat "$home/output" >&2
    die "$* failed"
  }
}

parse() {
  while (($#)); do
    case $1 in
    --write) write=1 ;;
    --rounds)
      rounds=${2:?--rounds needs a number}
      shift
      ;;
    *) die "unknown argument: $1" ;;
    esac
    shift
  done
}

build() {
  local compiler=(gcc) program
  note "building"
  ! has musl-gcc || compiler=(musl-gcc)
  mkdir -p "$floors"
  for program in echosrv loadgen minclient noop rounds; do
    "${compiler[@]}" -O2 -static -s -pthread -o "$floors/$program" "$here/$program.c"
  done
  "$root/packaging/build.sh" >/dev/null
  (cd "$root" && cargo build --quiet --locked -p keyagent-tests --example bench)
  dist=$target_dir/dist
  bench=$target_dir/debug/examples/bench
}

clean_up() {
  local pid
  [[ -n $home && -d $home ]] || return 0
  keyagent stop >/dev/null 2>&1 || true
  GNUPGHOME=$home/gnupg gpgconf --kill all 2>/dev/null || true
  for pid in "${background[@]}"; do
    kill "$pid" 2>/dev/null || true
  done
  cd /
  rm -rf "$home"
}

# Everything below runs in an environment of its own, and so does every peer.
make_home() {
  home=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/keyagent-bench.XXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT TERM HUP
  (umask 077 && mkdir -p "$home"/{run,config,data,state,cache,five,hundred,plain,shell,gnupg})
  unset KEYAGENT_SOCK SSH_AUTH_SOCK GNUPGHOME
  export HOME=$home XDG_RUNTIME_DIR=$home/run XDG_CONFIG_HOME=$home/config
  export XDG_DATA_HOME=$home/data XDG_STATE_HOME=$home/state XDG_CACHE_HOME=$home/cache
  export DIRENV_LOG_FORMAT='' PATH=$dist:$PATH
  sock=$home/run/keyagent/agent.sock
}

agent_pid() {
  keyagent status --json | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' | head -n 1
}

# A manifest that binds the first COUNT secrets, allowed.
make_project() {
  local directory=$1 count=$2 i
  mkdir -p "$directory"
  {
    printf 'project = "%s"\n\n[env]\n' "${directory##*/}"
    for ((i = 1; i <= count; i++)); do
      printf 'BENCH_KEY_%d = "bench/key-%d"\n' "$i" "$i"
    done
  } >"$directory/keyagent.toml"
  quietly keyagent allow "$directory" --yes
}

# Five values of 190 bytes make a reply of 1 KiB, the floor's.
fill() {
  "$bench" "$sock" fill bench "$1" "$2" 190 >/dev/null
}

restart_agent() {
  local pid
  pid=$(agent_pid)
  quietly keyagent stop
  while [[ -d /proc/$pid ]]; do sleep 0.05; done
  quietly keyagent start
  quietly keyagent unlock
}

# Memory of its own, in KiB: as root, because the agent lets nobody else look.
own_kib() {
  awk '/^Private_(Clean|Dirty)/ { sum += $2 } END { print sum }' "/proc/$1/smaps_rollup" 2>/dev/null
}

switches() {
  sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$1/status"
}

# Measured after a restart, when the deadlines of the connections before have passed.
measure_idle() {
  local pid before
  pid=$(agent_pid)
  idle_kib=$(own_kib "$pid" || true)
  sleep "$1"
  before=$(switches "$pid")
  sleep "$2"
  idle_wakeups=$(($(switches "$pid") - before))
}

measure_memory() {
  note "memory, idle, 1,000 secrets; wake-ups in 60 s"
  fill 1 1000
  restart_agent
  measure_idle 35 60
  one_thousand_kib=${idle_kib:-}
  wakeups=$idle_wakeups
  fill 1001 9000
  restart_agent
  measure_idle 0 0
  ten_thousand_kib=${idle_kib:-}
}

measure_commands() {
  note "commands, $rounds rounds"
  command_jobs >"$home/jobs"
  "$floors/rounds" "$rounds" <"$home/jobs" >"$home/commands.tsv" || die "a command failed"
}

load() {
  "$floors/loadgen" "$2" "$3" "$4" "$load_seconds" "$5" "${6:-}" >"$home/load"
  local rps p50 p99 errors bytes
  IFS=$'\t' read -r rps p50 p99 errors bytes <"$home/load"
  ((errors == 0)) || die "$1: $errors requests of its own failed"
  printf '%s.%s%s\t%s\t%s\t%s\t%s\n' "$1" "$3" "$4" "$rps" "$p50" "$p99" "$bytes"
}

# One line for each server and kind of load, then turned into a table of rounds.
measure_requests() {
  local round mode
  note "requests, $load_rounds rounds"
  for ((round = 1; round <= load_rounds; round++)); do
    for mode in "own 1" "own 16" "kept 1"; do
      # shellcheck disable=SC2086 # two words
      server_loads $mode
    done >"$home/round"
    if ((round == 1)); then
      awk -v ORS='\t' '{ print $1 ".rps"; print $1 ".p50"; print $1 ".p99"; print $1 ".bytes" }' \
        "$home/round" | sed 's/\t$/\n/'
    fi
    cut -f 2- "$home/round" | paste -s
  done >"$home/requests.tsv"
}

# What strace saw, up to the moment when the command takes over, and in all.
count_calls() {
  (cd "$home/five" && strace -f -qq -e signal=none -o "$home/trace" "$@" /bin/true)
  calls_before_exec=$(awk '/execve\(/ { if (seen++) { print NR; exit } }' "$home/trace")
  calls=$(wc -l <"$home/trace")
}

measure_calls() {
  ! has strace || {
    note "system calls"
    count_calls "$floors/minclient" "$home/echo.sock"
    floor_calls=$calls
    count_calls "$dist/keyagent" exec --
    client_calls=$calls client_calls_before_exec=$calls_before_exec
    client_threads=$(grep -cE '^[0-9]+ +(clone3?|fork|vfork)\(' "$home/trace" || true)
  }
}

# The identity has no passphrase, so this is unlocking less scrypt.
measure_locking() {
  local i
  note "lock and unlock, 10,000 secrets"
  printf 'lock\tunlock\n' >"$home/locking.tsv"
  for ((i = 0; i < 15; i++)); do
    printf '%s\t%s\n' "$("$bench" "$sock" time lock)" "$("$bench" "$sock" time unlock)"
  done >>"$home/locking.tsv"
}

parse "$@"
build
make_home
quietly keyagent init --no-passphrase
measure_memory
make_project "$home/five" 5
make_project "$home/hundred" 100
start_peers
measure_commands
measure_hooks
measure_forks
measure_requests
measure_calls
measure_locking
tables >"$home/tables.md"
cat "$home/tables.md"
((!write)) || write_page "$root/docs/performance.md" "$home/tables.md"

#!/usr/bin/env bash
# Feeds hostile bytes to every reader: the committed corpus and what comes of it by chance,
# then, where there is a C++ compiler, libFuzzer for some seconds for each target.
# With names, only these targets are fuzzed; KEYAGENT_FUZZ_SECONDS says how long.
# The lock file in fuzz/ pins what is built here; where a crate of ours has a new dependency,
# cargo adds it.
# usage: tests/fuzz.sh [TARGET…]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fuzz=$root/fuzz
build=${CARGO_TARGET_DIR:-$root/target}/fuzz
seconds=${KEYAGENT_FUZZ_SECONDS:-10}
compiler=${CXX:-c++}
# What cargo-fuzz would say, less the sanitizers, which no stable compiler has: there is no
# unsafe code in what is fuzzed.
flags=(
  --cfg fuzzing
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Ccodegen-units=1
)

say() {
  printf '== %s\n' "$*"
}

not_run() {
  printf '== NOT RUN: %s: %s\n' "$1" "$2"
}

cargo_check() {
  local component=$1 verb=$2
  shift 2
  if cargo "$verb" --version >/dev/null 2>&1; then
    cargo "$verb" --manifest-path "$fuzz/Cargo.toml" "$@"
  else
    not_run "cargo $verb in fuzz/" "$component is not installed"
  fi
}

# The host is named, so that build scripts and macros are built without the flags.
build_targets() {
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  CARGO_TARGET_DIR=$build RUSTFLAGS="${flags[*]}" \
    cargo build --quiet --release --manifest-path "$fuzz/Cargo.toml" --target "$host"
  programs=$build/$host/release
}

# What is found is kept beside the build; what is committed is only read.
fuzz_target() {
  local target=$1 found=$build/found/$1
  local arguments=("$found" "$fuzz/corpus/$1")
  mkdir -p "$found"
  case $target in
    frame) arguments+=("$root/tests/tests/wire") ;;
    dotenv) arguments+=("$root/tests/tests/it/corpus") ;;
  esac
  [[ ! -f $fuzz/$target.dict ]] || arguments+=("-dict=$fuzz/$target.dict")
  say "fuzzing $target for $seconds s"
  "$programs/$target" "${arguments[@]}" -max_total_time="$seconds" -print_final_stats=1 \
    -rss_limit_mb=1024 -timeout=20 -max_len=4096 -artifact_prefix="$build/" \
    2>"$build/$target.log" || {
    tail -n 60 "$build/$target.log"
    say "the input is the newest file in $build"
    return 1
  }
  say "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log") inputs, no finding"
}

# Two at a time: the machine that the tests are made for has two cores.
fuzz_targets() {
  local targets=("$@") failed=0
  while ((${#targets[@]})); do
    local pids=() target pid
    for target in "${targets[@]:0:2}"; do
      fuzz_target "$target" &
      pids+=($!)
    done
    for pid in "${pids[@]}"; do
      wait "$pid" || failed=1
    done
    targets=("${targets[@]:2}")
  done
  return "$failed"
}

all=(frame manifest dotenv vault audit quote)
programs=
mkdir -p "$build"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
if ((!$#)); then
  say "fuzz/: cargo fmt, clippy, test"
  cargo_check rustfmt fmt --check
  cargo_check clippy clippy --quiet --no-default-features --lib --tests -- -D warnings
  # Dependencies are built as for all other tests, so this takes little more than its time.
  cargo test --quiet --manifest-path "$fuzz/Cargo.toml" --no-default-features
  set -- "${all[@]}"
fi
if command -v "$compiler" >/dev/null 2>&1; then
  say "building $* for libFuzzer"
  build_targets
  fuzz_targets "$@"
else
  not_run "libFuzzer" "$compiler is not installed"
fi

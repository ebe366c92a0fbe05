#!/usr/bin/env bash
# Builds the client (static) and the agent in release mode into one directory, because the
# client starts only the agent that lies beside itself.
# usage: packaging/build.sh        the directory is ${CARGO_TARGET_DIR:-target}/dist
#   KEYAGENT_FEATURES=ssh          an agent that knows SSH keys as identities, too
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
[[ $target_dir == /* ]] || target_dir=$PWD/$target_dir
export CARGO_TARGET_DIR=$target_dir
dist=$target_dir/dist
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The toolchain is chosen by the directory.
cd "$root"

die() {
  printf 'build.sh: %s\n' "$1" >&2
  exit 1
}

# Cargo is heard only when it fails.
cargo_quietly() {
  cargo "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    die "cargo $1 failed"
  }
}

has_target() {
  [[ -d $(rustc --print target-libdir --target "$1" 2>/dev/null) ]]
}

# The dynamic loader costs more than all the rest of the client, so there is none: musl if
# its standard library is here or can be had, else glibc linked statically.
build_client() {
  local musl host
  # It waits for the kernel, and what it costs is the pages that it touches: small is fast.
  local -x CARGO_PROFILE_RELEASE_OPT_LEVEL=s
  musl=$(uname -m)-unknown-linux-musl
  host=$(rustc -vV | sed -n 's/^host: //p')
  if has_target "$musl" || rustup target add "$musl" >"$log" 2>&1; then
    cargo_quietly build --release --locked -p keyagent --target "$musl"
    place "$target_dir/$musl/release/keyagent"
  else
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
      cargo_quietly build --release --locked -p keyagent --target "$host"
    place "$target_dir/$host/release/keyagent"
  fi
}

# A running program cannot be written over, so each takes its place by a rename; and one
# that did not change is left alone.
place() {
  local to=$dist/${1##*/}
  if ! cmp -s "$1" "$to"; then
    install -m 755 "$1" "$to.new.$$"
    mv -f "$to.new.$$" "$to"
  fi
  printf '%s (%s KiB, %s)\n' "$to" $(($(wc -c <"$to") / 1024)) "$(linkage "$to")"
}

# ldd fails on some programs that have no loader, so its words count and not its status.
linkage() {
  case $(ldd "$1" 2>&1 || true) in
  *'statically linked'* | *'not a dynamic executable'* | *'Not a valid dynamic program'*) echo static ;;
  *) echo dynamic ;;
  esac
}

command -v cargo >/dev/null || die "cargo is not on PATH: https://rustup.rs has it"
mkdir -p "$dist"
[[ ! -t 2 ]] || echo "building keyagent and keyagentd: some minutes the first time" >&2
build_client
cargo_quietly build --release --locked -p keyagentd --bin keyagentd --features "${KEYAGENT_FEATURES:-}"
place "$target_dir/release/keyagentd"

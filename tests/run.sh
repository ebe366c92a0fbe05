#!/usr/bin/env bash
# Runs every check and every test. What the tests need is installed where that may be;
# elsewhere the tests that need it (needs_TOOL_ in their names) are skipped by name.
# Nothing is printed after the test runner's own closing lines, and its exit code is ours.
# usage: tests/run.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
[[ $target_dir == /* ]] || target_dir=$PWD/$target_dir
export CARGO_TARGET_DIR=$target_dir
export PATH=$target_dir/tools/bin:$PATH
export CARGO_TERM_PROGRESS_WHEN=never
cd "$root"
exec </dev/null

# A tool, and the Debian package that has it.
tools=(
  direnv:direnv zsh:zsh fish:fish dash:dash age:age strace:strace jq:jq expect:expect
  tmux:tmux shellcheck:shellcheck gdb:gdb musl-gcc:musl-tools ps:procps python3:python3
  bindfs:bindfs nix-shell:nix-bin pinentry-curses:pinentry-curses pinentry-tty:pinentry-tty
  pinentry-gtk-2:pinentry-gtk2 pinentry-qt:pinentry-qt Xvfb:xvfb xdotool:xdotool
  dbus-daemon:dbus gnome-keyring-daemon:gnome-keyring secret-tool:libsecret-tools
  gdbus:libglib2.0-bin ssh-keygen:openssh-client prlimit:util-linux
)
skip=()

say() {
  printf '== %s\n' "$*"
}

# What the names of tests say that need a tool.
needs_word() {
  local word=${1,,}
  printf 'needs_%s_' "${word//-/_}"
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# A line of its own for each check that could not be made: silence would look like a pass.
not_run() {
  printf '== NOT RUN: %s: %s\n' "$1" "$2"
}

as_root() {
  if ((EUID == 0)); then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# A module of Debian's own python3, whatever python3 comes first on the PATH.
has_dbusmock() {
  /usr/bin/python3 -c 'import dbusmock' 2>/dev/null
}

install_packages() {
  local tool packages=()
  for tool in "${tools[@]}"; do
    has "${tool%:*}" || packages+=("${tool#*:}")
  done
  has_dbusmock || packages+=(python3-dbusmock)
  ((${#packages[@]})) || return 0
  if ! has apt-get || ! as_root true 2>/dev/null; then
    say "not here, and no way to install it: ${packages[*]}"
    return 0
  fi
  say "installing: ${packages[*]}"
  as_root apt-get -q update >/dev/null 2>&1 || true
  local package
  for package in "${packages[@]}"; do
    as_root apt-get -qy -o DPkg::Lock::Timeout=120 install --no-install-recommends "$package" \
      >/dev/null 2>&1 || say "apt-get could not install $package"
  done
}

# rage is in no Debian release yet. Some two minutes of CPU, once for each target directory.
install_rage() {
  ! has rage || return 0
  say "building rage into $target_dir/tools"
  env -u RUSTFLAGS CARGO_TARGET_DIR="$target_dir/tools/build" CARGO_PROFILE_RELEASE_DEBUG=0 \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked --no-default-features --root "$target_dir/tools" \
    rage@0.12.1 2>"$target_dir/rage.log" || tail -n 5 "$target_dir/rage.log"
  rm -rf "$target_dir/tools/build"
}

# Nushell is in no Debian release either. npm has its own binary, which wants no node to run.
install_nu() {
  ! has nu && has npm || return 0
  say "installing nushell into $target_dir/tools"
  npm install --silent --no-audit --no-fund --no-save --prefix "$target_dir/tools/npm" \
    nushell@0.108.0 >"$target_dir/nu.log" 2>&1 || tail -n 5 "$target_dir/nu.log"
  local binary
  for binary in "$target_dir"/tools/npm/node_modules/@nushell/*/bin/nu; do
    [[ -x $binary ]] || continue
    mkdir -p "$target_dir/tools/bin"
    ln -sf "$binary" "$target_dir/tools/bin/nu"
  done
}

needs() {
  skip+=("$1")
  reason[$1]=$2
}

# Says which tests are left out, by name. Only then is the list of all tests wanted early.
find_skipped() {
  declare -gA reason=()
  local tool
  for tool in "${tools[@]%:*}" rage nu; do
    has "$tool" || needs "$tool" "$tool is not installed"
  done
  python3 -c 'import dotenv' 2>/dev/null || needs python-dotenv "python3 has no module dotenv"
  node --env-file=/dev/null -e '' 2>/dev/null || needs node "node 20.6 or newer is not installed"
  for tool in strace gdb; do
    [[ -v reason[$tool] ]] || may_trace || needs "$tool" "$tool is here, but may not trace"
  done
  [[ -v reason[bindfs] || -c /dev/fuse ]] || needs bindfs "bindfs is here, but no /dev/fuse"
  { has dbus-daemon && has_dbusmock; } ||
    needs dbus "dbus-daemon or the module dbusmock of /usr/bin/python3 is not installed"
  { has dbus-daemon && has gnome-keyring-daemon && has secret-tool && has gdbus; } ||
    needs gnome-keyring "gnome-keyring-daemon, secret-tool, gdbus or dbus-daemon is not installed"
  { ((EUID == 0)) && may_mount; } || needs root "not running as root, or root may not mount here"
  may_attach || needs ptrace "no process may trace another of its user"
  has_secret_memory || needs secretmem "no memfd_secret, or no python3 to look for it"
  [[ -w /proc/sys/kernel/core_pattern ]] || needs core-pattern "core_pattern cannot be written"
  unshare -Ur true 2>/dev/null || needs userns "no user namespaces for us"
  if ! has mkfs.ext4 || ! losetup --find >/dev/null 2>&1; then
    needs loop "no loop device, or no mkfs.ext4"
  fi
}

may_mount() {
  # shellcheck disable=SC2016 # the inner shell's own words
  unshare -m sh -c 'mount -t tmpfs none "$0"' "$target_dir" 2>/dev/null
}

# Whether Yama, if it is there, lets a process trace one that is not its child.
may_attach() {
  local scope=/proc/sys/kernel/yama/ptrace_scope
  [[ ! -r $scope || $(<"$scope") == 0 ]]
}

# By its number, which all machines share: older ones have no name for it.
has_secret_memory() {
  python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(447, 0) < 0)' 2>/dev/null
}

may_trace() {
  ! has strace || strace -qq -o /dev/null true 2>/dev/null
}

list_skipped() {
  ((${#skip[@]})) || return 0
  local tests tool name
  tests=$(cargo test --workspace --quiet --locked -- --list 2>/dev/null | sed -n 's/: test$//p')
  for tool in "${skip[@]}"; do
    while read -r name; do
      say "SKIPPED $name: ${reason[$tool]}"
    done < <(grep -F "$(needs_word "$tool")" <<<"$tests")
  done
}

# A component that rustup can add is added; a gate that cannot run says so.
cargo_gate() {
  local component=$1
  shift
  if cargo "$1" --version >/dev/null 2>&1 || rustup component add "$component" >/dev/null 2>&1; then
    say "cargo $*"
    cargo "$@"
  else
    not_run "cargo $1" "$component is not installed"
  fi
}

check_scripts() {
  local scripts
  mapfile -t scripts < <(
    grep -rlE '^(#!.*[ /](ba|da)?sh|# shellcheck shell=.*)$' .ci docs packaging shell tests 2>/dev/null
  )
  if has shellcheck; then
    say "shellcheck ${scripts[*]}"
    shellcheck -x "${scripts[@]}"
  else
    not_run shellcheck "it is not installed"
  fi
}

check_dependencies() {
  if cargo deny --version >/dev/null 2>&1; then
    say "cargo deny check bans licenses sources"
    cargo deny --log-level error check bans licenses sources
  else
    not_run "cargo deny" "cargo-deny is not installed"
  fi
}

# What is pure in the one crate with unsafe code. Miri is of a nightly toolchain alone, and
# none is installed for it.
check_with_miri() {
  local miri=(cargo +nightly miri)
  if "${miri[@]}" --version >/dev/null 2>&1 ||
    { rustup toolchain list 2>/dev/null | grep -q '^nightly-' &&
      rustup component add --toolchain nightly miri rust-src >/dev/null 2>&1; }; then
    say "cargo miri test -p keyagent-sys layout"
    "${miri[@]}" test --quiet --locked -p keyagent-sys --lib -- layout
  else
    not_run "cargo miri" "no nightly toolchain has it"
  fi
}

run_tests() {
  local arguments=() signals=() tool
  # In the background, a shell has us ignore these, and each program would inherit that.
  ! env --default-signal=INT true 2>/dev/null || signals=(env "--default-signal=HUP,INT,QUIT")
  for tool in "${skip[@]}"; do
    arguments+=(--skip "$(needs_word "$tool")")
  done
  if cargo nextest --version >/dev/null 2>&1; then
    say "cargo test --doc"
    cargo test --workspace --locked --quiet --doc
    say "cargo nextest run"
    exec "${signals[@]}" cargo nextest run --workspace --locked --no-fail-fast -- "${arguments[@]}"
  fi
  say "cargo test"
  exec "${signals[@]}" cargo test --workspace --locked --no-fail-fast -- "${arguments[@]}"
}

mkdir -p "$target_dir"
install_packages
install_rage
install_nu
find_skipped
# Some tests ask what other targets are linked from, and no test has the network.
cargo fetch --locked --quiet
cargo_gate rustfmt fmt --all --check
check_scripts
cargo_gate clippy clippy --workspace --all-targets --locked --quiet -- -D warnings
check_dependencies
check_with_miri
say "packaging/build.sh"
packaging/build.sh
export KEYAGENT_DIST=$target_dir/dist
say "tests/fuzz.sh"
tests/fuzz.sh
list_skipped
run_tests

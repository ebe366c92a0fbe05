#!/usr/bin/env bash
# Installs the peers that Debian has, so that run.sh finds them. Nothing else calls this.
# usage: tests/bench/peers.sh     needs root, or sudo without a password
set -euo pipefail

sudo=()
((EUID == 0)) || sudo=(sudo -n)
"${sudo[@]}" apt-get -q update
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends \
  age direnv gnupg musl-tools openssh-client pass strace
command -v rage >/dev/null || echo "rage: cargo install rage --no-default-features"

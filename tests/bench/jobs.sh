# shellcheck shell=bash disable=SC2154
# What is measured: the floors, keyagent, and the peers that are installed. Sourced by run.sh.

# A line for `rounds`: name, directory, program, arguments.
job() {
  local IFS=$'\t'
  printf '%s\n' "$*"
}

command_jobs() {
  job true / /bin/true
  job noop / "$floors/noop"
  job floor / "$floors/minclient" "$home/echo.sock" /bin/true
  job keyagent5 "$home/five" "$dist/keyagent" exec -- /bin/true
  job keyagent100 "$home/hundred" "$dist/keyagent" exec -- /bin/true
  job plain / sh -c ". $home/plain/env; exec /bin/true"
  local peer
  for peer in "${peers[@]}"; do
    "job_$peer"
  done
}

server_loads() {
  load echo echo "$@" "$home/echo.sock"
  load keyagentd keyagent "$@" "$sock" "$frame"
  ! has_peer ssh_add || load ssh-agent ssh "$@" "$home/ssh.sock"
  ! has_peer gpg_agent || load gpg-agent assuan "$@" "$gpg_sock" "GETINFO pid"
}

# Peers: start_NAME sets one up with the same five values and fails if it is not there;
# job_NAME is the command that is measured.
peers=()

has_peer() {
  [[ " ${peers[*]} " == *" $1 "* ]]
}

start_peers() {
  local peer
  make_plain_files
  "$floors/echosrv" "$home/echo.sock" &
  background+=($!)
  frame=$("$bench" - frame bench 5)
  for peer in age rage fnox mise direnv direnv_use direnv_mise pass ssh_add gpg_agent; do
    if "start_$peer" >/dev/null 2>"$home/peer.log"; then
      peers+=("$peer")
    else
      note "left out: $peer"
    fi
  done
  wait_for_socket "$home/echo.sock"
}

wait_for_socket() {
  local try
  for ((try = 0; try < 100; try++)); do
    [[ ! -S $1 ]] || return 0
    sleep 0.05
  done
  die "no socket at $1"
}

# The same values as in the vault, as one would find them in plain text.
make_plain_files() {
  local i
  for ((i = 1; i <= 5; i++)); do
    printf 'export BENCH_KEY_%d=%08d%s\n' "$i" "$i" "$(printf 'FAKEfake%.0s' {1..24} | head -c 182)"
  done >"$home/plain/env"
  cp "$home/plain/env" "$home/plain/.envrc"
}

# each_value COMMAND…: runs it for each variable and its value.
each_value() {
  local word
  while read -r _ word; do
    "$@" "${word%%=*}" "${word#*=}" </dev/null || return 1
  done <"$home/plain/env"
}

decrypt_job() {
  job "$1" / sh -c "eval \"\$($1 -d -i $home/age.key $home/plain/env.age)\"; exec /bin/true"
}

start_age() {
  has age || return 1
  age-keygen -o "$home/age.key" &&
    age -r "$(age-keygen -y "$home/age.key")" -o "$home/plain/env.age" "$home/plain/env"
}

job_age() {
  decrypt_job age
}

start_rage() {
  has rage && [[ -f $home/plain/env.age ]]
}

job_rage() {
  decrypt_job rage
}

# fnox and mise seal each value by itself, to age, as they document it; without a daemon.
start_fnox() {
  has fnox && [[ -f $home/age.key ]] || return 1
  export FNOX_AGE_KEY_FILE=$home/age.key
  each_project fnox make_fnox_project
}

make_fnox_project() (
  cd "$1" || exit
  printf '[providers]\nage = { type = "age", recipients = ["%s"] }\n' \
    "$(age-keygen -y "$home/age.key")" >fnox.toml
  each_value fnox set --provider age
)

job_fnox() {
  job fnox "$home/hooks/fnox/one" fnox exec -- /bin/true
}

start_mise() {
  has mise && [[ -f $home/age.key ]] || return 1
  export MISE_EXPERIMENTAL=1 MISE_AGE_KEY_FILE=$home/age.key
  each_project mise make_mise_project
}

make_mise_project() (
  cd "$1" || exit
  each_value set_by_mise
)

set_by_mise() {
  mise set --file mise.toml --age-encrypt --age-recipient "$(age-keygen -y "$home/age.key")" "$1=$2"
}

job_mise() {
  job mise "$home/hooks/mise/one" mise exec -- /bin/true
}

# What direnv finds in its lib directory it reads at each load: the same for every job.
start_direnv() {
  has direnv && keyagent hook direnv --install || return 1
  ! has_peer mise || mise direnv activate >"$XDG_CONFIG_HOME/direnv/lib/use_mise.sh" || return 1
  direnv allow "$home/plain" && each_project direnv make_direnv_project
}

make_direnv_project() {
  cp "$home/plain/.envrc" "$1/" && direnv allow "$1"
}

job_direnv() {
  job direnv / direnv exec "$home/plain" /bin/true
}

start_direnv_use() {
  has_peer direnv || return 1
  make_project "$home/shell" 5 && echo 'use keyagent' >"$home/shell/.envrc" &&
    direnv allow "$home/shell"
}

job_direnv_use() {
  job direnv_use / direnv exec "$home/shell" /bin/true
}

start_direnv_mise() {
  has_peer direnv && has_peer mise || return 1
  echo 'use mise' >"$home/hooks/mise/one/.envrc" && direnv allow "$home/hooks/mise/one"
}

job_direnv_mise() {
  job direnv_mise / direnv exec "$home/hooks/mise/one" /bin/true
}

start_pass() {
  has pass && has gpg || return 1
  export GNUPGHOME=$home/gnupg
  gpg --batch --quiet --passphrase '' --quick-gen-key bench@example.invalid default default never &&
    pass init bench@example.invalid && pass insert --multiline env <"$home/plain/env"
}

job_pass() {
  # shellcheck disable=SC2016 # the inner shell expands it
  job pass / sh -c 'eval "$(pass show env)"; exec /bin/true'
}

start_ssh_add() {
  has ssh-agent || return 1
  ssh-keygen -q -t ed25519 -N '' -C bench -f "$home/ssh.key" || return 1
  ssh-agent -D -a "$home/ssh.sock" >/dev/null &
  background+=($!)
  export SSH_AUTH_SOCK=$home/ssh.sock
  wait_for_socket "$SSH_AUTH_SOCK" && ssh-add -q "$home/ssh.key"
}

job_ssh_add() {
  job ssh_add / ssh-add -l
}

start_gpg_agent() {
  has gpg-connect-agent || return 1
  export GNUPGHOME=$home/gnupg
  gpg_sock=$(gpgconf --list-dirs agent-socket) && gpg-connect-agent 'GETINFO pid' /bye
}

job_gpg_agent() {
  job gpg_agent / gpg-connect-agent 'GETINFO pid' /bye
}

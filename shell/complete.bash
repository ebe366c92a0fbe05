# shellcheck shell=bash
# keyagent for bash: `source <(keyagent completions bash)` in ~/.bashrc.
#
# The client says what may come next, and this shows it. Nothing of that is evaluated, and
# nothing is left behind but the functions.

# Joins again what COMP_WORDBREAKS has split (`VAR=NAME`, `--profile=NAME`), up to the cursor,
# and takes quotes away. Fills the caller's variables: `words`; `starts`, where each begins in
# COMP_WORDS; `kept`, what stands before the piece of the last word that readline replaces.
__keyagent_words() {
  local line=${COMP_LINE:0:COMP_POINT} piece i
  for ((i = 0; i <= COMP_CWORD; i++)); do
    piece=${COMP_WORDS[i]}
    if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
      line=${line#"${line%%[![:space:]]*}"}
      words+=("") starts+=("$i")
    fi
    # The cursor may stand inside a word.
    [[ $line == "$piece"* ]] || piece=$line
    line=${line#"$piece"}
    kept=${words[-1]}
    # readline adds to a piece that only breaks words, and replaces any other.
    [[ $piece == *[!=:]* ]] || kept+=$piece
    words[-1]+=${piece//[\"\'\\]/}
  done
}

# Completes the line of another program, which begins at that word of COMP_WORDS.
__keyagent_program() {
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  else
    # Without the bash-completion package: a command, and files.
    ((COMP_CWORD > $1)) || mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
    compopt -o default
  fi
}

_keyagent() {
  local words=() starts=() kept='' answer=() word start
  COMPREPLY=()
  __keyagent_words
  mapfile -t answer < <(command keyagent __complete "${words[@]:1}" 2>/dev/null)
  case ${answer[0]-} in
    words)
      for word in "${answer[@]:1}"; do
        word=${word%%$'\t'*}
        COMPREPLY+=("${word#"$kept"}")
      done
      ;;
    files) compopt -o default ;;
    directories) compopt -o dirnames ;;
    command*)
      start=${answer[0]//[!0-9]/}
      __keyagent_program "${starts[start + 1]}"
      ;;
  esac
}

complete -F _keyagent keyagent

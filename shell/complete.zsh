#compdef keyagent
# keyagent for zsh: `source <(keyagent completions zsh)` in ~/.zshrc, after `compinit`; or
# this file as `_keyagent` in a directory of fpath.
#
# The client says what may come next, and this shows it. Nothing of that is evaluated, and
# nothing is left behind but the function.

_keyagent() {
  local -a answer values
  local line word about start
  answer=("${(@f)$(command keyagent __complete \
    "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
  case $answer[1] in
    (words)
      for line in "${(@)answer[2,-1]}"; do
        word=${line%%$'\t'*}
        about=${line#*$'\t'}
        # For _describe, a colon ends the word, and a backslash takes what follows as it is.
        values+=("${word//:/\\:}${about:+:${about//\\/\\\\}}")
      done
      _describe -t values value values
      ;;
    (files) _files ;;
    (directories) _files -/ ;;
    (command*)
      start=${answer[1]//[^0-9]/}
      shift $((start + 1)) words
      ((CURRENT -= start + 1))
      _normal -p keyagent
      ;;
  esac
}

# From fpath, this file is the function's first run.
if [[ ${funcstack[1]-} == _keyagent ]]; then
  _keyagent "$@"
else
  compdef _keyagent keyagent
fi

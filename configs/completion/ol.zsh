#compdef ol
# Completion of `ol` in zsh: source this file after compinit, or put it as "_ol" into a directory of $fpath.

_ol() {
  local -a offered words_so_far
  # The word that is being typed is shown to the program only if it is a flag, as in bash.
  words_so_far=("${(@)words[1,CURRENT-1]}")
  [[ ${words[CURRENT]} == -* ]] && words_so_far+=("${words[CURRENT]}")
  offered=("${(@f)$(_CLI_ZSH_AUTOCOMPLETE_HACK=1 "${words_so_far[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n ${offered[1]} ]]; then
    _describe 'command' offered
  else
    _files
  fi
}

if [[ ${funcstack[1]} == _ol ]]; then
  _ol "$@"
else
  compdef _ol ol
fi

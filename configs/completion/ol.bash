# Completion of `ol` in bash: source this file, or put it as "ol" into a directory that bash-completion reads, as
# `make install` does. PROG names the program when it is called otherwise.

# COMP_WORDS splits at "=" and ":", so that "-p=dir" is three words there: they are put together again.
_ol_words() {
  local i word
  OL_WORDS=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((i > 1)) && [[ $word == [=:]* || ${COMP_WORDS[i - 1]} == [=:] ]]; then
      OL_WORDS[${#OL_WORDS[@]} - 1]+=$word
    else
      OL_WORDS+=("$word")
    fi
  done
}

_ol_complete() {
  local OL_WORDS current offered
  _ol_words
  current=${OL_WORDS[${#OL_WORDS[@]} - 1]}
  # Only a flag that is being typed is shown to the program: another unfinished word could be taken for a command.
  [[ $current == -* ]] || unset 'OL_WORDS[${#OL_WORDS[@]}-1]'
  offered=$("${OL_WORDS[@]}" --generate-bash-completion 2>/dev/null)
  mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
}

complete -o bashdefault -o default -F _ol_complete "${PROG:-ol}"

# Completion of `ol` in fish: source this file, or put it as "ol.fish" into ~/.config/fish/completions.

function __ol_offered
    set -l tokens (commandline --tokenize --current-process --cut-at-cursor)
    set -l current (commandline --current-token)
    # The word that is being typed is shown to the program only if it is a flag, as in bash.
    if string match -q -- '-*' $current
        set -a tokens $current
    end
    _CLI_ZSH_AUTOCOMPLETE_HACK=1 $tokens --generate-bash-completion 2>/dev/null | string replace -r '^([^:]+):' '$1\t'
end

complete -c ol -a '(__ol_offered)'

# keyagent for fish: `keyagent completions fish | source` in ~/.config/fish/config.fish.
#
# The client says what may come next, and this shows it. Nothing of that is evaluated, and
# nothing is left behind but the function.

function __keyagent_complete
    set -l words (commandline -cop)
    set -e words[1]
    # A list for what is there, a string for the client, which wants a word in any case.
    set -l current (commandline -ct)
    set -l typed (string trim --left --chars '"\'' -- "$current")
    set -l answer (command keyagent __complete $words "$typed" 2>/dev/null)
    set -l kind "$answer[1]"
    set -e answer[1]
    switch $kind
        case words
            printf '%s\n' $answer
        case files
            # What fish offers to a command that it does not know, `~` and quotes included.
            complete -C "keyagent-no-such-command $current"
        case directories
            complete -C "keyagent-no-such-command $current" | string match -r '.*/$'
        case 'command *'
            set -l start (string replace -ra '\D' '' -- $kind)
            set -e words[1..$start]
            complete -C (string join -- ' ' (string escape -- $words) "$current")
    end
end

complete -c keyagent -f -a '(__keyagent_complete)'

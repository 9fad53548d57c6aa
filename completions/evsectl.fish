# fish completion of evsectl; names come from the daemon through `evsectl __complete`
function __evsectl_complete
    set -l words (commandline -opc)
    set -l found (evsectl __complete $words[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c evsectl -f -a '(__evsectl_complete)'

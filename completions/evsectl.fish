# fish completion of evsectl; names come from the daemon through `evsectl __complete`
function __evsectl_complete
    set -l words (commandline -opc)
    evsectl __complete $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c evsectl -a '(__evsectl_complete)'

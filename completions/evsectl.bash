# bash completion of evsectl; names come from the daemon through `evsectl __complete`
_evsectl() {
    local IFS=$'\n'
    COMPREPLY=($(evsectl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _evsectl evsectl

# bash completion of evsectl; names come from the daemon through `evsectl __complete`
_evsectl() {
    local -a found
    mapfile -t found < <(evsectl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=("${found[@]}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _evsectl evsectl

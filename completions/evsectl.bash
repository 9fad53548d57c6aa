# bash completion of evsectl; names come from the daemon through `evsectl __complete`
_evsectl() {
    local -a found
    local i
    mapfile -t found < <(evsectl __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    for i in "${!found[@]}"; do printf -v "found[$i]" %q "${found[i]}"; done # names may hold blanks
    COMPREPLY=("${found[@]}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _evsectl evsectl

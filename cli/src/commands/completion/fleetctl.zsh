#compdef fleetctl
# Completion of fleetctl by zsh: the program itself knows the words.

_fleetctl() {
    # What is typed, without quotes; zsh quotes what it puts in their place.
    local -a typed=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}") found
    found=("${(@f)$(FLEETCTL_COMPLETE=zsh _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 1)) \
        "${words[1]}" -- "${typed[@]}" 2> /dev/null)}")
    found=("${(@)found:#}")
    (( ${#found} )) || return 1
    if [[ ${typed[CURRENT]} == --*=* ]]; then
        compset -P '*='
        found=("${(@)found#--*=}")
    fi
    _describe -V values found
}

# The file may be the function itself, as completions that are installed are.
if [[ ${funcstack[1]} == _fleetctl ]]; then
    _fleetctl "$@"
else
    compdef _fleetctl fleetctl
fi

# Completion of fleetctl by bash: the program itself knows the words.

_fleetctl() {
    # Bash ends words at = and :, which belong to words of fleetctl.
    local words=() word glue= i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ -n $glue || $word == [=:]* ]] && ((${#words[@]} > 1)); then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        glue=
        [[ $word == [=:] || $word == := ]] && glue=yes
    done

    # What is typed, without its quotes; bash keeps the quote that is open, and what stands before the last = or :.
    local last=$((${#words[@]} - 1)) quote= current kept=
    for ((i = 0; i <= last; i++)); do
        current=${words[i]} quote= kept=
        case $current in
            --*=[\'\"]*)
                kept=${current%%=*}= quote=${current#*=} quote=${quote:0:1}
                current=${current#*=?} current=$kept${current%"$quote"}
                ;;
            \'*) quote=\' current=${current#\'} current=${current%\'} ;;
            \"*) quote=\" current=${current#\"} current=${current%\"} ;;
            *) current=${current//\\/} ;;
        esac
        words[i]=$current
    done
    [[ -z $quote && $current == *[=:]* ]] && kept=${current%"${current##*[=:]}"}

    local found candidate
    COMPREPLY=()
    found=$(FLEETCTL_COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$last _CLAP_COMPLETE_COMP_TYPE=$COMP_TYPE \
        "${COMP_WORDS[0]}" -- "${words[@]}" 2> /dev/null) || return
    while IFS= read -r candidate; do
        [[ -n $candidate ]] || continue
        # A flag that wants its value goes on behind its =.
        [[ $candidate == *[=/:] ]] && compopt -o nospace 2> /dev/null
        candidate=${candidate#"$kept"}
        case $quote in
            \') candidate=${candidate//\'/\'\\\'\'} ;;
            \") candidate=$(sed 's/[\\"$`]/\\&/g' <<< "$candidate") ;;
            *) printf -v candidate %q "$candidate" && candidate=${candidate//\\,/,} ;;
        esac
        COMPREPLY+=("$candidate")
    done <<< "$found"
}

complete -o bashdefault -o default -o nosort -F _fleetctl fleetctl 2> /dev/null ||
    complete -o bashdefault -o default -F _fleetctl fleetctl

# press.zsh SHELL TEXT: types text and a tab into a shell that completes fleetctl, and prints what the line has become.
zmodload zsh/zpty
case $1 in
bash)
    zpty shell bash --norc --noprofile -i
    zpty -w shell 'PS1=; bind "set bell-style none"; bind -x "\"\C-x\": echo \"LINE\"\"<\$READLINE_LINE>\""'
    zpty -w shell 'source <(fleetctl completion bash); echo REA""DY'
    ;;
zsh)
    zpty shell zsh -f -i
    zpty -w shell 'PS1=; unsetopt beep; autoload -Uz compinit; compinit -u -D'
    zpty -w shell 'show() { print -r -- "LINE""<$BUFFER>"; }; zle -N show; bindkey "^X" show'
    zpty -w shell 'source <(fleetctl completion zsh); echo REA""DY'
    ;;
esac
zpty -r shell said '*READY*'
zpty -w -n shell "$2"$'\t\C-x'
zpty -r shell said '*LINE<*>*'
said=${said##*LINE<}
print -r -- "${said%%>*}"
zpty -d shell

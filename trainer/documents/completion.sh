#compdef trainer
# Completion of trainer for bash, and for zsh through its bashcompinit. The program is asked for its words: commands and options
# are read off its --help, networks off `trainer models`. Runs and targets are looked up where the program looks for them.
# The functions share the variables of _trainer_complete: program, help (of the command so far), chosen (its names), current.

_trainer_commands() { printf '%s\n' "$help" | sed -n '/^Subcommands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'; }

_trainer_options() { printf '%s\n' "$help" | sed -n 's/^  \(-[^ ]*\).*/\1/p' | tr , '\n'; }

# The command's first argument: "RUN".
_trainer_argument() { printf '%s\n' "$help" | sed -n '/^Positionals:/{n;s/^  \([A-Z_]*\) .*/\1/p;}'; }

# _trainer_value NAME: what the help says of an option's value ("TEXT:{auto,digit}"); nothing for a flag.
_trainer_value() {
  printf '%s\n' "$help" | awk -v name="$1" '/^  [-A-Z]/ {
    count = split($1, names, ",")
    for (i = 1; i <= count; i++) if (names[i] == name && $2 ~ /^(\[-\])?[A-Z][A-Z]/) print $2
  }'
}

# _trainer_choices NAME: the choices of an option that the program checks.
_trainer_choices() { _trainer_value "$1" | sed -n 's/.*{\(.*\)}.*/\1/p' | tr , '\n'; }

_trainer_runs() {
  local run
  printf 'last\n'
  for run in "${TRAINER_RUNS:-runs}"/*/run.json; do
    [ ! -e "$run" ] || { run=${run%/run.json} && printf '%s\n' "${run##*/}"; }
  done
}

_trainer_targets() {
  local target
  printf 'local\ndocker\n'
  for target in targets/*.compute; do
    [ ! -e "$target" ] || { target=${target##*/} && printf '%s\n' "${target%.compute}"; }
  done
}

# _trainer_offer COMMAND...: offers those words, printed one per line by the command, that begin as typed; each as one word
# of the shell.
_trainer_offer() {
  local word
  while IFS= read -r word; do
    case $word in
      '') ;;
      "$current"*) COMPREPLY+=("$prefix$(printf '%q' "$word")") ;;
    esac
  done <<WORDS
$("$@")
WORDS
}

# _trainer_files -f|-d: offers files, or folders. zsh completes files by itself if nothing else is offered.
_trainer_files() {
  local word
  [ -z "${ZSH_VERSION-}" ] || return
  compopt -o filenames 2>/dev/null
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "$1" -- "$current")
}

_trainer_networks() { "$program" models 2>/dev/null | awk 'NR > 1 { print $1 }'; }

# _trainer_offer_values NAME: the values of an option or an argument, as far as they are known.
_trainer_offer_values() {
  case $chosen/$1 in
    ' doctor/--device') _trainer_offer printf '%s\n' auto all cpu cuda ;;
    */--device) _trainer_offer printf '%s\n' auto cpu cuda ;;
    */--precision) _trainer_offer printf '%s\n' fp32 tf32 fp16 bf16 ;;
    */--engine) _trainer_offer printf '%s\n' auto libraries ;;
    */--bits) _trainer_offer printf '%s\n' fast portable ;;
    */--optimizer) _trainer_offer printf '%s\n' sgd adam adamw adadelta ;;
    */--model | ' models/NAME') _trainer_offer _trainer_networks && _trainer_files -f ;;
    */--resume | */RUN | */RUN_OR_FILE) _trainer_offer _trainer_runs && _trainer_files -f ;;
    */--target | */-c | */NAME) [ "$chosen" = ' sprint' ] || _trainer_offer _trainer_targets ;;
    */--data | */--tensorboard) _trainer_files -d ;;
    */--out | */-o | */--config | */--profile | */--compare | */--prom | */--health | */--junit | */--identity-file | */IMAGE | */RECORD) _trainer_files -f ;;
    *) _trainer_offer _trainer_choices "$1" ;;
  esac
}

# _trainer_complete PROGRAM CURRENT PREVIOUS, as both shells call it: fills in COMPREPLY.
_trainer_complete() {
  local program=$1 current=$2 previous=$3 prefix='' chosen='' help word index=1
  COMPREPLY=()
  case $current in # one word in zsh, three in bash
    --*=*) prefix=${current%%=*}= previous=${current%%=*} current=${current#*=} ;;
    =) previous=${COMP_WORDS[COMP_CWORD - 1]} current='' ;;
  esac
  [ "$previous" != = ] || previous=${COMP_WORDS[COMP_CWORD - 2]}
  help=$("$program" --help 2>/dev/null)
  while [ "$index" -lt "$COMP_CWORD" ]; do
    word=${COMP_WORDS[index]}
    if _trainer_commands | grep -Fqx -e "$word"; then
      chosen="$chosen $word"
      # shellcheck disable=SC2086 # the names of commands
      help=$("$program" $chosen --help 2>/dev/null)
    fi
    index=$((index + 1))
  done
  if [ -n "$(_trainer_value "$previous")" ]; then
    _trainer_offer_values "$previous"
  elif [ "${current#-}" != "$current" ]; then
    _trainer_offer _trainer_options
  elif [ -n "$(_trainer_commands)" ]; then
    _trainer_offer _trainer_commands
  else
    _trainer_offer_values "$(_trainer_argument)"
  fi
}

# compinit of zsh reads the first line, and the first completion runs the whole file as the function _trainer.
if [ -n "${ZSH_VERSION-}" ]; then
  autoload -Uz bashcompinit && bashcompinit
  complete -o default -F _trainer_complete trainer
  # shellcheck disable=SC2154 # zsh has it
  [ "${funcstack[1]-}" != _trainer ] || _bash_complete -o default -F _trainer_complete
else
  complete -F _trainer_complete trainer
fi

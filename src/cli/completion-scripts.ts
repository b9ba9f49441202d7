/**
 * The scripts that `pach completion` prints. Each asks `pach __complete` (complete.ts), and evaluates
 * nothing that it answers.
 */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const bash = String.raw`_pach() {
  # Bash ends words at : @ and = too. What stands together in the line is one word here.
  local rest=${'$'}{COMP_LINE:0:COMP_POINT} words=() found=() word i
  for ((i = 0; i <= COMP_CWORD; i++)); do
    if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
      rest=${'$'}{rest#"${'$'}{rest%%[![:space:]]*}"}
      words+=('')
    fi
    word=${'$'}{COMP_WORDS[i]}
    if ((i == COMP_CWORD)); then word=$rest; fi
    words[${'$'}{#words[@]} - 1]+=$word
    rest=${'$'}{rest#"$word"}
  done
  mapfile -t found < <(command pach __complete bash "$2" "${'$'}{words[@]}" 2>/dev/null </dev/null)
  COMPREPLY=()
  if [[ ${'$'}{found[0]-} == :files ]]; then
    compopt -o default
  else
    COMPREPLY=("${'$'}{found[@]}")
    if [[ ${'$'}{#found[@]} == 1 && $found == *[/@:=] ]]; then compopt -o nospace; fi
  fi
}
complete -F _pach pach pachmount
`;

const zsh = String.raw`#compdef pach pachmount
_pach() {
  local -a found
  found=("${'$'}{(@f)$(command pach __complete zsh '' "${'$'}{(@Q)words[1,CURRENT-1]}" "${'$'}{(Q)PREFIX}" 2>/dev/null </dev/null)}")
  if [[ $found[1] == :files ]]; then
    _files
    return
  fi
  local -a open=(${'$'}{(M)found:#*[/@:=]}) whole=(${'$'}{found:#*[/@:=]})
  local before=$compstate[nmatches]
  if (($#open)); then compadd -S '' -a open; fi
  if (($#whole)); then compadd -a whole; fi
  ((compstate[nmatches] > before))
}
if [[ $funcstack[1] == _pach ]]; then
  _pach "$@"
else
  if ! (($+functions[compdef])); then
    autoload -Uz compinit
    compinit -i -D
  fi
  compdef _pach pach pachmount
fi
`;

const fish = String.raw`function __pach_complete
    set -l current (commandline -ct)
    set -l found (command pach __complete fish '' (commandline -opc) "$current" 2>/dev/null </dev/null)
    if test "$found[1]" = :files
        __fish_complete_path "$current"
    else
        string join -- \n $found
    end
end
complete -c pach -f -a '(__pach_complete)'
complete -c pachmount -f -a '(__pach_complete)'
`;

export const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };

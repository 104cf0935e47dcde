// Shell scripts that ask leafctl itself for the words that may come next (`leafctl __complete -- WORDS…`), so that
// completion knows what the grammar knows, and the peers and labs there are.

export type Shell = 'bash' | 'zsh' | 'fish';

const scripts: Record<Shell, string> = {
  bash: `_leafctl() {
  local IFS=$'\\n' last="\${COMP_WORDS[COMP_CWORD]}"
  local candidates="$("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)"
  COMPREPLY=($(compgen -W "$candidates" -- "$last"))
}
complete -o default -F _leafctl leafctl
`,
  zsh: `#compdef leafctl
_leafctl() {
  local -a candidates
  candidates=("\${(@f)$(\${words[1]} __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -a candidates || _files
}
compdef _leafctl leafctl
`,
  fish: `function __leafctl_complete
    set -l words (commandline -opc) (commandline -ct)
    leafctl __complete -- $words[2..-1] 2>/dev/null
end
complete -c leafctl -a '(__leafctl_complete)'
`,
};

/** The script for a shell. */
export function completionScript(shell: Shell): string {
  return scripts[shell];
}

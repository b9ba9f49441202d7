/**
 * pach completion.
 */
import { scripts, shells } from '../completion-scripts.ts';
import { verb } from '../verb.ts';

export const completionVerb = verb({
  name: 'completion',
  summary: 'Print the completion script of a shell, for pach and pachmount',
  examples: [
    ['completion bash # in ~/.bashrc: source <(pach completion bash)', 'Enable completion in new Bash shells'],
    ['completion zsh # in ~/.zshrc: source <(pach completion zsh)', 'Zsh'],
    ['completion fish # in ~/.config/fish/config.fish: pach completion fish | source', 'Fish'],
  ],
  formats: false,
  arguments: { shell: { type: 'text', choices: shells, required: true, describe: 'The shell that loads the script' } },
  async run({ shell }, { output }) {
    await output.write(scripts[shell]);
  },
});

/**
 * A systemd unit that runs this very command line: from the same folder, as the same user, with the
 * same program and the same settings.
 */
import { fileURLToPath } from 'node:url';
import { whereOf } from '../app/mount-plan.ts';
import type { Settings } from '../app/settings.ts';

/** What commands of pipelines see of the environment is part of what their results are found by. */
const kept = ['PATH', 'LANG', 'LC_ALL', 'LANGUAGE'];
const ownOption = '--print-unit';

export function serviceUnit(settings: Settings, words: readonly string[]): string {
  const program = fileURLToPath(new URL('../../bin/pach', import.meta.url));
  const line = [process.execPath, program, ...words.filter((word) => word !== ownOption)];
  const { home, storeUrl, project } = whereOf(settings);
  const environment = Object.entries({
    ...Object.fromEntries(kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []))),
    PACH_HOME: home,
    ...(settings.defaultStore ? {} : { PACH_STORE: storeUrl }),
    PACH_PROJECT: project,
  });
  return `# sudo tee /etc/systemd/system/pach-${project}.service, then: sudo systemctl enable --now pach-${project}
[Unit]
Description=pach serve: runs the pipelines of project ${project}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User=${settings.user ?? process.getuid?.()}
WorkingDirectory=${specifiers(process.cwd())}
ExecStart=${line.map((word) => quoted(word).replaceAll('$', '$$$$')).join(' ')}
${environment.map(([name, value]) => `Environment=${quoted(`${name}=${value}`)}`).join('\n')}
# Credentials of the store, where it is in a bucket: a file that only root can read.
EnvironmentFile=-/etc/pach-${project}.env
# Limits of memory and processors of commands need control groups of its own.
Delegate=yes
# It ends within 30 seconds: jobs are done then, or left to the next engine.
KillMode=mixed
TimeoutStopSec=45
SuccessExitStatus=130
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2 3

[Install]
WantedBy=multi-user.target
`;
}

/** A word as systemd takes it. */
function quoted(word: string): string {
  const plain = specifiers(word);
  return /^[\w@%+=:,./-]+$/.test(plain)
    ? plain
    : `"${plain.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}"`;
}

function specifiers(text: string): string {
  return text.replaceAll('%', '%%');
}

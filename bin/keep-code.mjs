// Run by `make build`: keeps the machine code of what the commands run most.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepCode } from './start.cjs';

const bundle = fileURLToPath(new URL('../dist/bundle/main.cjs', import.meta.url));
// A script that is loaded with its machine code cannot import: it would be loaded without.
if (/\bimport\(/.test(readFileSync(bundle, 'utf8'))) throw new Error(`${bundle} imports as it runs`);
const dir = mkdtempSync(join(tmpdir(), 'pach-build-'));
const file = join(dir, 'file');
writeFileSync(file, 'a few bytes\n');
Object.assign(process.env, { PACH_HOME: join(dir, 'home'), PACH_STORE: join(dir, 'store') });
const commands = [
  'create repo data',
  `put file data@master:/file -f ${file}`,
  'list commit data -n 20',
  'inspect commit data@master',
  'list file data',
  'get file data:/file',
  'list repo --help',
  '__complete fish _ pach list file data@master:/',
];
const write = process.stdout.write;
try {
  await keepCode(bundle, async ({ main }) => {
    process.stdout.write = () => true;
    for (const command of commands) {
      const code = await main(command.split(' '));
      if (code !== 0) throw new Error(`pach ${command} ended with ${code}`);
    }
  });
} finally {
  process.stdout.write = write;
  rmSync(dir, { recursive: true });
}

// Starts a bundled program with the machine code that V8 made of it when it was built: Node 20 has
// no compile cache of its own, and compiling half a megabyte takes longer than most commands. What
// V8 does not take (another version of Node) it compiles anew.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { dirname } from 'node:path';
import { Script } from 'node:vm';

/** Loads a bundle; returns what it exports, and the script. */
function load(path) {
  const cache = `${path}.cache`;
  const script = new Script(Module.wrap(readFileSync(path, 'utf8')), {
    filename: path,
    cachedData: existsSync(cache) ? readFileSync(cache) : undefined,
  });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(path), module, path, dirname(path));
  return { exports: module.exports, script };
}

/** What the bundle at `path` exports. */
export function start(path) {
  return load(path).exports;
}

/** Keeps the machine code of a bundle beside it, with that of the functions that `use` calls. */
export async function keepCode(path, use) {
  const { exports, script } = load(path);
  await use(exports);
  writeFileSync(`${path}.cache`, script.createCachedData());
}

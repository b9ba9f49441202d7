// Starts a bundled program with the machine code that V8 made of it when it was built: Node 20 has
// no compile cache of its own, and compiling half a megabyte takes longer than most commands. What
// V8 does not take (another version of Node, other flags) it compiles anew. These programs are
// CommonJS, since Node's loader of ES modules takes 15 ms to come up.
'use strict';
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { createRequire, Module } = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');

/**
 * Loads a file of the bundle, and those that it requires; returns what it exports. Those without
 * kept code are left to Node, which finds the others where it finds its own. `scripts` gets each that
 * is compiled here: then all are.
 */
function load(path, scripts) {
  const require = createRequire(path);
  const known = require.cache[path];
  if (known !== undefined) return known.exports;
  const cache = `${path}.cache`;
  const cachedData = existsSync(cache) ? readFileSync(cache) : undefined;
  const text = cachedData !== undefined || scripts !== undefined ? readFileSync(path, 'utf8') : undefined;
  // What is compiled here cannot import.
  if (text === undefined || (cachedData === undefined && /\bimport\(/.test(text))) return require(path);
  const script = new Script(Module.wrap(text), { filename: path, cachedData });
  scripts?.set(path, script);
  const module = new Module(path);
  require.cache[path] = module;
  const dir = dirname(path);
  const requireHere = (name) => (name.startsWith('./') ? load(join(dir, name), scripts) : require(name));
  script.runInThisContext()(module.exports, Object.assign(requireHere, require), module, path, dir);
  module.loaded = true;
  return module.exports;
}

/** What the bundle at `path` exports. */
exports.start = (path) => load(path);

/** Keeps the machine code of the files of a bundle beside them, with that of the functions that `use` calls. */
exports.keepCode = async (path, use) => {
  const scripts = new Map();
  await use(load(path, scripts));
  for (const [file, script] of scripts) writeFileSync(`${file}.cache`, script.createCachedData());
};

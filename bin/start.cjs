// Starts a bundled program with the machine code that V8 made of it when it was built: Node 20 has
// no compile cache of its own, and compiling half a megabyte takes longer than most commands. What
// V8 does not take (another version of Node, other flags) it compiles anew. These programs are
// CommonJS, since Node's loader of ES modules takes 15 ms to come up.
'use strict';
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { createRequire, Module } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

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
exports.start = (path) => load(path).exports;

/** Keeps the machine code of a bundle beside it, with that of the functions that `use` calls. */
exports.keepCode = async (path, use) => {
  const { exports: program, script } = load(path);
  await use(program);
  writeFileSync(`${path}.cache`, script.createCachedData());
};

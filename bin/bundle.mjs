// Run by `make build`: bundles the compiled commands, since a module costs Node a millisecond or two
// to start. An import of string-width costs 25 more (a segmenter, and expressions over all of
// Unicode), for which plain text has no use: it is loaded for other text only.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const lazy = '?when-needed';
const lazyWidth = {
  name: 'lazy-width',
  async resolveId(source, importer) {
    if (source !== 'string-width' || importer?.endsWith(lazy)) return undefined;
    const { id } = await this.resolve(source, importer, { skipSelf: true });
    return id + lazy;
  },
  load(id) {
    if (!id.endsWith(lazy)) return undefined;
    return `let width;
      export default (text, options) => /^[\\n -~]*$/.test(text)
        ? text.replaceAll('\\n', '').length
        : (width ??= require(${JSON.stringify(id.slice(0, -lazy.length))}).default)(text, options);`;
  },
};

// dockerode loads these for SSH and for builds by BuildKit, neither of which is used here. They are
// larger than all the rest, and one of them compiles an addon of its own.
const unused = ['ssh2', '@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs'];
// Of the Kubernetes client only the kubeconfig is used: not its generated API (20 MB of source), nor fetch.
const nothing = '\0nothing';
const withoutUnused = {
  name: 'without-unused',
  async resolveId(source, importer) {
    if (unused.includes(source)) return nothing;
    const client = importer?.includes('/client-node/dist/');
    return client && (source === 'node-fetch' || source === './gen/index.js') ? nothing : undefined;
  },
  load: (id) => (id === nothing ? 'module.exports = {};' : undefined),
};

// What Node itself has is there already, and a script that imports is loaded without its kept code.
const ownModules = {
  name: 'own-modules',
  renderChunk: (code) => code.replaceAll(/\bimport\("(node:\w+)"\)/g, 'Promise.resolve(require("$1"))'),
};

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const dir = here('../dist/bundle');
rmSync(dir, { recursive: true, force: true });
for (const name of ['main', 'serve-main']) {
  const input = here(`../dist/cli/entry/${name}.js`);
  const bundle = await rolldown({ input, platform: 'node', plugins: [lazyWidth, withoutUnused, ownModules], logLevel: 'silent' });
  const names = { entryFileNames: '[name].cjs', chunkFileNames: '[name]-[hash].cjs' };
  const { output } = await bundle.write({ dir, format: 'cjs', ...names });
  // What the program consists of must be known as it starts: only then is its machine code kept.
  const { modules = {} } = output.find(({ isEntry }) => isEntry) ?? {};
  if (Object.keys(modules).length === 0) {
    throw new Error(`${name}.cjs is empty: something that import() loads is also imported as the program starts`);
  }
  await bundle.close();
}

// Run by `make image`: writes the worker image as one archive that Docker, containerd, skopeo and
// registries take, without any of them: an OCI layout, and the manifest.json of `docker load`. The
// same tree makes the same bytes: names are sorted, all belongs to root, no time is kept.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readFileSync, readdirSync, realpathSync, renameSync, writeFileSync } from 'node:fs';
import { arch } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { rootCertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { tarEnd, tarMember, tarPadding } from '../dist/sources/tar-writer.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const archive = join(root, 'dist/pachmount-image.tar');
/** Nothing is ever pulled from `localhost/`, so nobody else's image can come under this name. */
const name = `localhost/pachmount:${version}`;
const home = '/opt/pachmount';
/** Of nobody on the nodes; pods may choose another one. */
const user = '65532';

/** The contents of a layer: path without the first slash, to `{ type, mode, bytes?, linkPath? }`. */
class Layer {
  entries = new Map();

  folder(path, mode = 0o755) {
    if (path !== '.' && path !== '') this.folder(dirname(path));
    const known = this.entries.has(path) || path === '.' || path === '';
    if (!known || mode !== 0o755) this.entries.set(path, { type: 'directory', mode });
  }

  file(path, bytes, mode = 0o644) {
    this.folder(dirname(path));
    this.entries.set(path, { type: 'file', mode, bytes: Buffer.from(bytes) });
  }

  /** A file or folder of this machine: whatever its modes are here, all may read it. */
  copy(path, from) {
    const found = lstatSync(from);
    if (found.isDirectory()) {
      for (const each of readdirSync(from)) this.copy(`${path}/${each}`, join(from, each));
    } else {
      this.file(path, readFileSync(from), found.mode & 0o100 ? 0o755 : 0o644);
    }
  }

  tar() {
    const members = [{ path: './', type: 'directory', mode: 0o755, bytes: Buffer.alloc(0) }];
    for (const path of [...this.entries.keys()].sort()) {
      const { type, mode, bytes = Buffer.alloc(0) } = this.entries.get(path);
      members.push({ path: type === 'directory' ? `${path}/` : path, type, mode, bytes });
    }
    return tarOf(members);
  }
}

function tarOf(members) {
  const parts = members.flatMap(({ path, type = 'file', mode = 0o644, bytes }) => [
    tarMember({ path, type, mode, size: bytes.length }),
    bytes,
    tarPadding(bytes.length),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

/** The libraries of programs and addons, the loader too, by the paths at which they are looked for. */
function librariesOf(files) {
  const found = new Map();
  for (const file of files) {
    let listed;
    try {
      listed = execFileSync('ldd', [file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    } catch (error) {
      if (/not a dynamic executable|statically linked/.test(`${error.stdout}${error.stderr}`)) continue;
      throw error;
    }
    if (listed.includes('not found')) throw new Error(`${file} lacks a library:\n${listed}`);
    for (const [, path] of listed.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)) found.set(path, realpathSync(path));
  }
  return found;
}

/** What changes seldom: Node, libraries, and the few files that they look for. */
function systemLayer(programs) {
  const layer = new Layer();
  // The first line of bin/pach looks for Node by it.
  const system = { 'usr/bin/node': process.execPath, 'usr/bin/env': '/usr/bin/env' };
  for (const [path, from] of Object.entries(system)) layer.copy(path, realpathSync(from));
  for (const [path, from] of librariesOf([...Object.values(system), ...programs])) layer.copy(path.slice(1), from);
  layer.file('etc/passwd', `root:x:0:0::/:/nowhere\npach:x:${user}:${user}::/tmp:/nowhere\n`);
  layer.file('etc/group', `root:x:0:\npach:x:${user}:\n`);
  layer.file('etc/nsswitch.conf', 'hosts: files dns\n');
  // Node's own list and not that of this machine, to which its administrators may have added.
  layer.file('etc/ssl/certs/ca-certificates.crt', `${rootCertificates.join('\n')}\n`);
  layer.folder('tmp', 0o1777);
  return layer;
}

/** What `npm pack` takes, but for what is there to compile, and what is compiled. */
function ownLayer(programs) {
  const layer = new Layer();
  const copy = (path) => layer.copy(`${home.slice(1)}/${path}`, join(root, path));
  for (const path of ['bin/pach', 'bin/pachmount', 'bin/mount.fuse.pachmount', 'bin/start.cjs', 'bin/package.json']) {
    copy(path);
  }
  for (const path of ['package.json', 'LICENSE', 'fixtures/pipeline.schema.json']) copy(path);
  // V8's machine code beside the bundle differs each time it is kept; what runs in a pod runs long.
  for (const each of readdirSync(join(root, 'dist/bundle'))) {
    if (each.endsWith('.cjs')) copy(`dist/bundle/${each}`);
  }
  for (const each of readdirSync(join(root, 'src'), { recursive: true })) {
    if (each.endsWith('.md')) copy(`src/${each}`);
  }
  for (const path of programs) copy(relative(root, path));
  return layer;
}

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

function builtPrograms() {
  const dir = join(root, 'native/build');
  const programs = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile() && (lstatSync(join(dir, entry.name)).mode & 0o100) !== 0)
    .map((entry) => join(dir, entry.name));
  return programs.filter((path) => !path.endsWith('test-threads')).sort();
}

const programs = builtPrograms();
const blobs = new Map();
const blob = (mediaType, bytes) => {
  const digest = sha256(bytes);
  blobs.set(digest, bytes);
  return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
};
const json = (value) => Buffer.from(JSON.stringify(value));

const tars = [systemLayer(programs), ownLayer(programs)].map((layer) => layer.tar());
const layers = tars.map((tar) => blob('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar)));
const architecture = { x64: 'amd64' }[arch()] ?? arch();
const config = blob(
  'application/vnd.oci.image.config.v1+json',
  json({
    architecture,
    os: 'linux',
    config: {
      User: `${user}:${user}`,
      Env: [`PATH=${home}/bin:/usr/bin`, 'HOME=/tmp'],
      Entrypoint: [`${home}/bin/pach`],
      WorkingDir: '/',
      Labels: { 'org.opencontainers.image.title': 'pachmount', 'org.opencontainers.image.version': version },
    },
    rootfs: { type: 'layers', diff_ids: tars.map((tar) => `sha256:${sha256(tar)}`) },
    history: [{ comment: 'Node and its libraries' }, { comment: 'pachmount' }],
  }),
);
const manifest = blob(
  'application/vnd.oci.image.manifest.v1+json',
  json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers }),
);
const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': version };
const pathOf = ({ digest }) => `blobs/${digest.replace(':', '/')}`;
const members = [
  { path: 'oci-layout', bytes: json({ imageLayoutVersion: '1.0.0' }) },
  { path: 'index.json', bytes: json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }) },
  {
    path: 'manifest.json',
    bytes: json([{ Config: pathOf(config), RepoTags: [name], Layers: layers.map(pathOf) }]),
  },
  ...[...blobs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([digest, bytes]) => ({ path: `blobs/sha256/${digest}`, bytes })),
];
mkdirSync(dirname(archive), { recursive: true });
const bytes = tarOf(members);
writeFileSync(`${archive}.new`, bytes);
renameSync(`${archive}.new`, archive);
const unpacked = tars.reduce((sum, tar) => sum + tar.length, 0);
const megabytes = (count) => `${(count / 1e6).toFixed(0)} MB`;
process.stdout.write(
  `image: ${relative(process.cwd(), archive)}: ${name}, linux/${architecture}, ${manifest.digest}, ` +
    `${megabytes(bytes.length)}, ${megabytes(unpacked)} unpacked\n`,
);

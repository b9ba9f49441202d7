// reach.mjs ROOT PATH…: what each way of reading gives at each path below ROOT, as one JSON object
// on stdout: what was read, or the error's code. In a process of its own, so that the kernel can be
// made to lack a call.
import { readFileSync } from 'node:fs';
import { listFolder } from '../../dist/base/listing.js';
import { native } from '../../dist/base/native.js';
import { OpenFile } from '../../dist/base/place.js';

const [root, ...paths] = process.argv.slice(2).map((text) => Buffer.from(text));

async function open(place) {
  const file = await OpenFile.at(place);
  try {
    return readFileSync(file.fd, 'utf8');
  } finally {
    await file[Symbol.asyncDispose]();
  }
}

const ways = {
  list: async (place) => (await listFolder(place)).count,
  small: async ({ path }) => {
    const [file] = await native().readSmallFiles(root, path, [Buffer.from('file')], 100);
    return file.error ?? file.bytes.toString();
  },
  link: async ({ path }) => (await native().readLink(root, path, Buffer.from('link'))).toString(),
  open,
};

const found = {};
for (const path of paths) {
  found[path] = {};
  for (const [way, read] of Object.entries(ways)) {
    found[path][way] = await read({ root, path }).catch((error) => error.code);
  }
}
process.stdout.write(JSON.stringify(found));

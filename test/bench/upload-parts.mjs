/**
 * The least that an upload to S3 takes: one file in parts of 16 MiB, four at a time, over plain
 * HTTP, with signed headers and unsigned bodies.
 *
 *   upload-parts.mjs FILE BUCKET KEY      endpoint and credentials from the usual AWS_ variables
 */
import { createHash, createHmac } from 'node:crypto';
import { open } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';

const partBytes = 16 << 20;
const atOnce = 4;
const endpoint = new URL(process.env['AWS_ENDPOINT_URL'] ?? '');
const agent = new Agent({ keepAlive: true, maxSockets: atOnce });

/** @param {string | Uint8Array} key @param {string} data */
const hmac = (key, data) => createHmac('sha256', key).update(data).digest();

/** Signature version 4. @param {string} method @param {string} path @param {string} query sorted, each with = */
function headersOf(method, path, query) {
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const scope = [time.slice(0, 8), process.env['AWS_REGION'] ?? 'us-east-1', 's3', 'aws4_request'];
  const headers = { host: endpoint.host, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', 'x-amz-date': time };
  const names = Object.keys(headers).join(';');
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const canonical = [method, path, query, lines.join(''), names, 'UNSIGNED-PAYLOAD'].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const toSign = ['AWS4-HMAC-SHA256', time, scope.join('/'), hash].join('\n');
  const key = scope.reduce(
    (secret, part) => hmac(secret, part),
    /** @type {string | Uint8Array} */ (`AWS4${process.env['AWS_SECRET_ACCESS_KEY']}`),
  );
  const signature = hmac(key, toSign).toString('hex');
  const credential = `${process.env['AWS_ACCESS_KEY_ID']}/${scope.join('/')}`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...headers, authorization };
}

/** @param {string} method @param {string} path @param {string} query @param {Uint8Array} [body] */
async function send(method, path, query, body = Buffer.alloc(0)) {
  const answer = await new Promise((done, fail) => {
    const headers = { ...headersOf(method, path, query), 'content-length': body.length };
    const sending = request({
      host: endpoint.hostname,
      port: endpoint.port,
      method,
      path: query ? `${path}?${query}` : path,
      headers,
      agent,
    });
    sending.on('response', done).on('error', fail).end(body);
  });
  const said = await text(answer);
  if (answer.statusCode !== 200) throw new Error(`${method} ${path}: ${answer.statusCode} ${said}`);
  return { etag: String(answer.headers.etag), said };
}

/** @param {string} file @param {string} path */
async function upload(file, path) {
  const [, id] = /<UploadId>([^<]+)</.exec((await send('POST', path, 'uploads=')).said) ?? [];
  const source = await open(file);
  const { size } = await source.stat();
  const parts = Math.ceil(size / partBytes);
  /** @type {string[]} */
  const etags = [];
  let next = 0;
  const worker = async () => {
    const block = Buffer.alloc(partBytes);
    for (let part = next++; part < parts; part = next++) {
      const { bytesRead } = await source.read(block, 0, partBytes, part * partBytes);
      const { etag } = await send(
        'PUT',
        path,
        `partNumber=${part + 1}&uploadId=${encodeURIComponent(id ?? '')}`,
        block.subarray(0, bytesRead),
      );
      etags[part] = etag;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  await source.close();
  const list = etags.map((etag, n) => `<Part><PartNumber>${n + 1}</PartNumber><ETag>${etag}</ETag></Part>`);
  const whole = `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`;
  await send('POST', path, `uploadId=${encodeURIComponent(id ?? '')}`, Buffer.from(whole));
}

const [file = '', bucket = '', key = ''] = process.argv.slice(2);
await upload(file, `/${bucket}/${key}`);
agent.destroy();

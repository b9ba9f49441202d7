/**
 * A proxy between an S3 server and us that counts and cuts.
 */
import { once } from 'node:events';
import { createServer, request as forward, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Forwards all to the gateway; hangs up after `cutAfter` bytes of an answer to a GET of an object. */
export async function startProxy(endpoint: string) {
  const state = {
    cutAfter: Infinity,
    requests: [] as IncomingMessage[],
    before: async (): Promise<void> => undefined,
    open: 0,
    openMax: 0,
  };
  const server = createServer((request, response) => {
    state.requests.push(request);
    state.open += 1;
    state.openMax = Math.max(state.openMax, state.open);
    response.on('close', () => (state.open -= 1));
    void state.before().then(() => {
      const onward = forward(endpoint + request.url, { method: request.method, headers: request.headers });
      request.pipe(onward);
      onward.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        let sent = 0;
        answer.on('data', (bytes: Buffer) => {
          const left = request.url?.includes('list-type') ? Infinity : state.cutAfter - sent;
          sent += bytes.length;
          if (bytes.length <= left) response.write(bytes);
          else response.write(bytes.subarray(0, left), () => response.destroy());
        });
        answer.on('end', () => response.end());
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { server, state, url };
}

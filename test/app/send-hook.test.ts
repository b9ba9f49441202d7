/**
 * How a message of a hook is sent: by real requests to a server on loopback, and by real commands.
 */
import { createHmac } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sendHook } from '../../src/app/send-hook.ts';
import { testDelivery } from '../../src/hooks/message.ts';
import { Receiver } from '../hooks/receiver.ts';

const delivery = testDelivery('default', 1_700_000_000_000);
/** Long enough on a busy machine; what hangs is given less. */
const patience = 120_000;
const { signal } = new AbortController();

async function withFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'pach-hooks-'));
  try {
    await work(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function sendTo(url: string, secretFile?: string, requestMsMax = patience) {
  return sendHook({ target: { kind: 'url', url: new URL(url), secretFile } }, delivery, signal, {
    requestMsMax,
    commandMsMax: 0,
  });
}

function runWith(script: string, words: readonly string[] = [], commandMsMax = patience) {
  const argv = ['bash', '-c', script, 'hook', ...words];
  return sendHook({ target: { kind: 'command', argv } }, delivery, signal, { requestMsMax: 0, commandMsMax });
}

test('a message is signed with the key as it is now', async () => {
  await using receiver = await Receiver.start();
  await withFolder(async (dir) => {
    for (const key of ['first', 'second key']) {
      await writeFile(join(dir, 'key'), `${key}\n`, { mode: 0o600 });
      expect(await sendTo(receiver.url, join(dir, 'key'))).toEqual({
        isTaken: true,
        answer: 'it answered 200: thanks',
      });
      const { headers, text } = receiver.received.at(-1) as (typeof receiver.received)[number];
      expect(headers['x-pach-signature']).toBe(`sha256=${createHmac('sha256', key).update(text).digest('hex')}`);
      expect(headers).toMatchObject({ 'x-pach-delivery': delivery.id, 'content-type': 'application/json' });
    }
    await sendTo(receiver.url);
    expect(receiver.received.at(-1)?.headers['x-pach-signature']).toBeUndefined();
  });
});

test('what a server answers that does not take it; no redirect is followed, and no secret is shown', async () => {
  await using receiver = await Receiver.start();
  await using other = await Receiver.start();
  receiver.answer = (response) =>
    void response.writeHead(500).end(`no, /T0SECRET?token=abcd1234 ${'x'.repeat(1 << 20)}`);
  const failed = await sendTo(`${receiver.url}/T0SECRET?token=abcd1234`);
  expect(failed.isTaken).toBe(false);
  expect(failed.answer).toMatch(/^it answered 500: no, \*{6} x{900,1000}$/);
  receiver.answer = (response) => void response.writeHead(307, { location: `${other.url}/path?secret` }).end();
  expect(await sendTo(receiver.url)).toEqual({
    isTaken: false,
    answer: `it answered 307, a redirect to ${other.url}, which is not followed: write that address into the file of hooks`,
  });
  expect(other.received).toEqual([]);
  receiver.answer = () => undefined;
  expect(await sendTo(receiver.url, undefined, 400)).toEqual({ isTaken: false, answer: 'no answer came within 0.4 s' });
  receiver.answer = (response) => void response.write('begun');
  expect(await sendTo(receiver.url, undefined, 400)).toEqual({ isTaken: false, answer: 'no answer came within 0.4 s' });
  receiver.answer = (response) => void response.destroy();
  expect(await sendTo(receiver.url)).toEqual({ isTaken: false, answer: 'the connection failed (ECONNRESET)' });
  const { url } = other;
  await other[Symbol.asyncDispose]();
  expect(await sendTo(`${url}/T0SECRET`)).toEqual({ isTaken: false, answer: 'the connection failed (ECONNREFUSED)' });
});

test('a command gets the message on its standard input, and says by its exit code whether it took it', async () => {
  await withFolder(async (dir) => {
    expect(await runWith('cat > "$1"; echo done', [join(dir, 'got')])).toEqual({
      isTaken: true,
      answer: 'it ended with exit code 0: done',
    });
    expect(await readFile(join(dir, 'got'), 'utf8')).toBe(delivery.body.toString());
  });
  expect(await runWith('echo why >&2; exit 3')).toEqual({ isTaken: false, answer: 'it ended with exit code 3: why' });
  expect(await runWith('kill -9 $$')).toEqual({ isTaken: false, answer: 'it was ended by SIGKILL' });
  expect(await runWith('exec 0<&-; exit 0')).toMatchObject({ isTaken: true });
  const none = { target: { kind: 'command', argv: ['/no/such/program'] } } as const;
  expect(await sendHook(none, delivery, signal)).toEqual({
    isTaken: false,
    answer: 'there is no program /no/such/program',
  });
});

test('a command that hangs is ended with all that it has started', async () => {
  await withFolder(async (dir) => {
    // One child in a session of its own, and one whose parent has ended.
    const script = 'setsid sleep 4321 & echo $! > "$1/a"; (sleep 4321 & echo $! > "$1/b"); echo begun; sleep 4321';
    expect(await runWith(script, [dir], 6000)).toEqual({
      isTaken: false,
      answer: 'it took longer than 6 s, and was ended with all that it had started: begun',
    });
    for (const name of ['a', 'b']) {
      const pid = (await readFile(join(dir, name), 'utf8')).trim();
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'gone');
      expect(state).toMatch(/^gone$|\) Z /);
    }
  });
});

test('what a command leaves running does not hold up its message', async () => {
  const { isTaken } = await runWith('sleep 3 & exit 0');
  expect(isTaken).toBe(true);
});

/**
 * Sends the messages of hooks: to commands on their standard input, to web servers by a signed POST.
 * Keys and addresses of web servers show up in no answer, no log and no command line.
 */
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { readSecretFile, type Hook } from '../hooks/file.ts';
import type { Sent } from '../hooks/hooks.ts';
import type { Delivery } from '../hooks/message.ts';
import { theAgents } from '../sources/http.ts';
import { Mask } from './mask.ts';
import { killTree } from './process-tree.ts';

export interface SendLimits {
  readonly commandMsMax: number;
  readonly requestMsMax: number;
}

const limitsDefault: SendLimits = { commandMsMax: 30_000, requestMsMax: 15_000 };
/** What is kept of an answer. */
const answerBytesMax = 1000;
/** Something that a command has left running may keep its output open. */
const outputMsMax = 500;

/** Sends a message once. Never rejects. */
export async function sendHook(
  { target }: Pick<Hook, 'target'>,
  delivery: Delivery,
  signal: AbortSignal,
  limits: SendLimits = limitsDefault,
): Promise<Sent> {
  if (target.kind === 'command') return run(target.argv, delivery, { signal, msMax: limits.commandMsMax });
  const mask = new Mask();
  for (const part of [target.url.href, target.url.pathname, target.url.search, target.url.password]) mask.add(part);
  try {
    const key = target.secretFile === undefined ? undefined : await readSecretFile(target.secretFile);
    if (key) mask.add(key.toString('latin1'));
    const limit = AbortSignal.timeout(limits.requestMsMax);
    const { isTaken, answer } = await post(target.url, delivery, key, AbortSignal.any([signal, limit])).catch(
      (error: unknown) => {
        const silent = `no answer came within ${limits.requestMsMax / 1000} s`;
        return { isTaken: false, answer: limit.aborted ? silent : reasonOf(error) };
      },
    );
    return { isTaken, answer: mask.text(answer) };
  } catch (error) {
    return { isTaken: false, answer: mask.text(error instanceof Error ? error.message : String(error)) };
  }
}

/** Redirects are not followed: a signed message goes where its hook says, and nowhere else. */
async function post(url: URL, { id, body }: Delivery, key: Buffer | undefined, signal: AbortSignal): Promise<Sent> {
  const isSecure = url.protocol === 'https:';
  const { request: begin } = process.getBuiltinModule(isSecure ? 'node:https' : 'node:http');
  const agents = await theAgents();
  const headers = {
    'content-type': 'application/json',
    'content-length': body.length,
    'user-agent': 'pachmount',
    'x-pach-delivery': id,
    ...(key && { 'x-pach-signature': `sha256=${createHmac('sha256', key).update(body).digest('hex')}` }),
  };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const options = { method: 'POST', headers, signal, agent: isSecure ? agents?.https : agents?.http };
    const request: ClientRequest = begin(url, options);
    request.on('error', reject);
    request.on('response', resolve);
    request.end(body);
  });
  const { statusCode: status = 0, headers: told } = answer;
  const text = await beginningOf(answer);
  if (status >= 200 && status < 300) return { isTaken: true, answer: `it answered ${status}${quoted(text)}` };
  if (status >= 300 && status < 400) {
    const where =
      told.location !== undefined && URL.canParse(told.location, url.href)
        ? new URL(told.location, url.href).origin
        : 'elsewhere';
    return {
      isTaken: false,
      answer: `it answered ${status}, a redirect to ${where}, which is not followed: write that address into the file of hooks`,
    };
  }
  return { isTaken: false, answer: `it answered ${status}${quoted(text)}` };
}

async function beginningOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    parts.push(part);
    length += part.length;
    if (length >= answerBytesMax) break; // this ends the connection
  }
  return Buffer.concat(parts).toString('utf8').slice(0, answerBytesMax);
}

/** Node's messages have addresses in them. */
function reasonOf(error: unknown): string {
  const { code, name, proxy } = error as { code?: string; name?: string; proxy?: string };
  return `the connection failed (${code ?? name}${proxy === undefined ? '' : `, through the proxy ${proxy}`})`;
}

function quoted(text: string): string {
  const line = text.trim();
  return line === '' ? '' : `: ${line}`;
}

/** Runs a command with the message on its standard input. */
function run(
  [program = '', ...words]: readonly string[],
  { body }: Delivery,
  { signal, msMax }: { readonly signal: AbortSignal; readonly msMax: number },
): Promise<Sent> {
  return new Promise((resolve) => {
    // A group of its own: Ctrl-C is for the engine, and the group can be ended as a whole.
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    let output = '';
    let why: string | undefined;
    const end = (isTaken: boolean, text: string): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      resolve({ isTaken, answer: `${text}${quoted(output)}` });
    };
    const kill = (reason: string): void => {
      why ??= reason;
      if (child.pid !== undefined) killTree(child.pid);
    };
    const stop = (): void => kill('it was ended, because the engine ends');
    const timer = setTimeout(
      () => kill(`it took longer than ${msMax / 1000} s, and was ended with all that it had started`),
      msMax,
    );
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => (output = `${output}${bytes.toString()}`.slice(-answerBytesMax)));
      stream.on('error', () => undefined);
    }
    child.stdin.on('error', () => undefined); // it need not read
    child.stdin.end(body);
    child.once('error', (error: NodeJS.ErrnoException) => {
      end(false, error.code === 'ENOENT' ? `there is no program ${program}` : `it can't be run (${error.code})`);
    });
    child.once('exit', (code, by) => {
      const ended = (): void =>
        end(code === 0, why ?? (code === null ? `it was ended by ${by}` : `it ended with exit code ${code}`));
      const patience = setTimeout(ended, outputMsMax);
      child.once('close', () => {
        clearTimeout(patience);
        ended();
      });
    });
  });
}

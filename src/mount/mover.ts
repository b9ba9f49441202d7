/**
 * The process that does for a server what may wait for that server's own answers (native/mover): looks
 * names of the root directory up, and has the kernel drop them. It is a help only: where it does not run
 * or does not answer, nothing is wrong, but the kernel drops more than it needs to.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { nameOfText } from '../model/paths.ts';

const words = {
  /** Looks the name up. */
  lookUp: 'l',
  /** The kernel asks again when the name is used next. */
  expire: 'x',
  /** The kernel drops the name and what it knows below. */
  drop: 'd',
  /** The kernel asks for the attributes of the root again, and with them for its names; no name belongs to it. */
  expireRoot: 'r',
} as const;

export type Move = keyof typeof words;

export class Mover implements Disposable {
  private readonly child: ChildProcess;
  /** In the order of the questions. */
  private readonly waiting: ((done: boolean | undefined) => void)[] = [];
  private isOver = false;

  /** `device`: the open device of the mount. */
  constructor(mountpoint: string, device: number, onError: (error: unknown) => void) {
    const program = fileURLToPath(new URL('../../native/build/mover', import.meta.url));
    this.child = spawn(program, [mountpoint], { stdio: ['pipe', 'pipe', 'inherit', device], cwd: '/' });
    this.child.on('error', (error) => {
      onError(error);
      this.end();
    });
    this.child.on('exit', () => this.end());
    this.child.stdin?.on('error', () => this.end());
    this.child.stdout?.on('data', (answers: Buffer) => {
      for (const answer of answers) this.waiting.shift()?.(answer === 1);
    });
    this.child.unref();
  }

  /** Resolves when it is done: false if the kernel knew nothing of the name; undefined where nobody does it. */
  do(move: Move, name: string): Promise<boolean | undefined> {
    if (this.isOver) return Promise.resolve(undefined);
    const bytes = nameOfText(name);
    const message = Buffer.alloc(5 + bytes.length);
    message.write(words[move], 0, 'latin1');
    message.writeUInt32LE(bytes.length, 1);
    bytes.copy(message, 5);
    return new Promise((done) => {
      this.waiting.push(done);
      this.child.stdin?.write(message);
    });
  }

  [Symbol.dispose](): void {
    this.child.stdin?.end();
    this.end();
  }

  private end(): void {
    this.isOver = true;
    for (const done of this.waiting.splice(0)) done(undefined);
  }
}

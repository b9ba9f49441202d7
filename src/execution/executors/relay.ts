/**
 * Passes bytes between a command's streams and whoever is connected to them (`TaskStreams`). Both ways
 * have a limit on what is under way: of input the launcher says how much the command has taken, and
 * while output waits to be written, nothing more is read from the launcher.
 */
import type { TaskStreams } from '../executor.ts';
import { FrameWriter, toLauncher } from './frames.ts';

/** Input that was sent, and that the command has not taken. */
const untakenBytesMax = 256 * 1024;

export interface RelayOptions {
  readonly streams: TaskStreams;
  send(frame: Buffer): void;
  /** What the launcher sends is not read for a while. */
  pause(): void;
  resume(): void;
  /** Told when nobody takes the output any more. */
  cut(): void;
}

/** For one command, from its start to its end. */
export class Relay {
  private readonly options: RelayOptions;
  private untaken = 0;
  private writing = 0;
  /** Pieces are written one after the other. */
  private written = Promise.resolve();
  private isCut = false;

  constructor(options: RelayOptions) {
    this.options = options;
    const { input, terminal } = options.streams;
    if (input.readableEnded) this.end();
    else input.on('data', this.read).on('end', this.end);
    terminal?.on('resize', this.resize);
  }

  /** The command has taken so much input. */
  taken(bytes: number): void {
    this.untaken -= bytes;
    if (this.untaken < untakenBytesMax) this.options.streams.input.resume();
  }

  write(bytes: Buffer, to: 'output' | 'errors'): void {
    this.options.pause();
    this.writing += 1;
    this.written = this.written.then(async () => {
      try {
        if (!this.isCut) await this.options.streams.write(bytes, to);
      } catch {
        this.isCut = true;
        this.options.cut();
      }
      this.writing -= 1;
      if (this.writing === 0) this.options.resume();
    });
  }

  /** The command has ended: nothing more is read for it. Resolves once all that it printed is written. */
  async close(): Promise<void> {
    const { input, terminal } = this.options.streams;
    input.off('data', this.read).off('end', this.end).pause();
    terminal?.off('resize', this.resize);
    await this.written;
  }

  private readonly read = (bytes: Buffer): void => {
    this.options.send(new FrameWriter(toLauncher.input).raw(bytes).done());
    this.untaken += bytes.length;
    if (this.untaken >= untakenBytesMax) this.options.streams.input.pause();
  };

  private readonly end = (): void => this.options.send(new FrameWriter(toLauncher.inputEnd).done());

  private readonly resize = (): void => {
    const { columns = 0, rows = 0 } = this.options.streams.terminal ?? {};
    this.options.send(new FrameWriter(toLauncher.resize).u32(columns).u32(rows).done());
  };
}

/**
 * Progress of work on files, as one line: files, bytes, the rate, and the time left where the total is known.
 */
import { localSize } from '../sources/size.ts';
import type { SourceWatch } from '../sources/source.ts';
import type { TransferProgress } from '../transfer/apply.ts';
import type { Output } from './output.ts';
import { countText, sizeText, waitText } from './text.ts';

export class FilesProgress implements SourceWatch {
  private readonly output: Output;
  private readonly started = Date.now();
  private files = 0;
  private bytes = 0;
  private came = 0;
  private total: number | undefined;

  constructor(output: Output, totalBytes?: number) {
    this.output = output;
    this.total = totalBytes;
  }

  /** Told of bytes and files that are done, more than before. */
  readonly add = (bytes: number, files: number): void => {
    this.bytes += bytes;
    this.files += files;
    this.output.progress(() => this.line());
  };

  expected(bytes: number): void {
    this.total = bytes;
  }

  /** Finds out beside the work how much there is to do, where all sources are files and folders. */
  async measure(names: readonly string[], signal: AbortSignal): Promise<void> {
    this.total = (await localSize(names, signal)) ?? this.total;
  }

  /** Bytes that came are not stored yet, but they say how long the rest takes. */
  arrived(bytes: number): void {
    this.came += bytes;
  }

  private line(): string {
    const seconds = Math.max(0.1, (Date.now() - this.started) / 1000);
    const parts = [countText(this.files, 'file'), sizeText(this.bytes), `${sizeText(this.bytes / seconds)}/s`];
    const done = Math.max(this.came, this.bytes);
    // The first bytes of a large work come late: what they would foretell is many times too long.
    if (this.total !== undefined && done > 0 && (seconds >= 1 || done >= this.total / 20)) {
      parts.push(`${waitText((Math.max(0, this.total - done) / done) * seconds)} left`);
    }
    return parts.join(', ');
  }
}

/** Progress of what goes from one store to another. */
export class BytesProgress {
  private readonly output: Output;
  private readonly started = Date.now();

  constructor(output: Output) {
    this.output = output;
  }

  readonly now = (done: TransferProgress): void => this.output.progress(() => this.line(done));

  private line({ plainBytes, storedBytes, expectedBytes }: TransferProgress): string {
    const seconds = Math.max(0.1, (Date.now() - this.started) / 1000);
    const parts = [sizeText(plainBytes), `${sizeText(storedBytes)} stored`, `${sizeText(plainBytes / seconds)}/s`];
    // Only the growth of the files is known before: when more comes, nobody knows how much.
    if (plainBytes > 0 && plainBytes < expectedBytes && seconds >= 1) {
      parts.push(`${waitText(((expectedBytes - plainBytes) / plainBytes) * seconds)} left`);
    }
    return parts.join(', ');
  }
}

/**
 * Archives made by hand, for what no tar program would make.
 */
export interface MemberSpec {
  readonly name: string;
  readonly type?: string;
  readonly bytes?: string | Buffer;
  /** What the header says, where that is not the truth. */
  readonly size?: number;
  readonly link?: string;
  readonly mode?: number;
  readonly mtime?: number;
}

/** A ustar header and what belongs to it, padded. */
export function member(spec: MemberSpec): Buffer {
  const bytes = Buffer.from(spec.bytes ?? '');
  const block = Buffer.alloc(512);
  const octal = (at: number, length: number, value: number): void => {
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  };
  block.write(spec.name, 0, 100);
  octal(100, 8, spec.mode ?? 0o644);
  octal(124, 12, spec.size ?? bytes.length);
  octal(136, 12, spec.mtime ?? 1_700_000_000);
  block.write(spec.type ?? '0', 156);
  block.write(spec.link ?? '', 157, 100);
  block.write('ustar\0' + '00', 257, 'latin1');
  block.fill(0x20, 148, 156);
  octal(
    148,
    7,
    block.reduce((sum, byte) => sum + byte, 0),
  );
  return Buffer.concat([block, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** An archive of these members, with its end mark. */
export function archive(...members: readonly MemberSpec[]): Buffer {
  return Buffer.concat([...members.map(member), Buffer.alloc(1024)]);
}

/** A record of pax. */
export function pax(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + 1;
  while (String(length).length + bytes !== length) length += 1;
  return `${length}${rest}`;
}

/**
 * Passes bytes between connections of this machine and ports of a command, by way of its launcher
 * (native/launcher/PROTOCOL.md, Ports). Each connection has a limit on what is under way, so that one
 * which is not read holds nothing else up.
 */
import type { Duplex } from 'node:stream';
import { FrameWriter, fromLauncher, malformed, toLauncher, type FrameReader } from './frames.ts';

/** Of one connection, that the command has not taken. */
const untakenBytesMax = 256 * 1024;

interface Connected {
  readonly socket: Duplex;
  untaken: number;
}

/** For one command, from its start to its end. */
export class PortRelay {
  private readonly send: (frame: Buffer) => void;
  private readonly connections = new Map<number, Connected>();
  private count = 0;

  constructor(send: (frame: Buffer) => void) {
    this.send = send;
  }

  /** Takes a connection over, which waits until the command's end is open. */
  accept(socket: Duplex, port: number): void {
    const number = (this.count += 1);
    this.connections.set(number, { socket, untaken: 0 });
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      if (this.connections.delete(number)) this.say(toLauncher.portInputEnd, number, (frame) => frame.u8(true));
    });
    this.say(toLauncher.connect, number, (frame) => frame.u32(port));
  }

  /** A frame of the launcher; false for one that is not about connections. Throws what is malformed. */
  take(type: number, reader: FrameReader): boolean {
    switch (type) {
      case fromLauncher.connected:
        this.connected(reader.u32(), reader.u32());
        return true;
      case fromLauncher.portOutput:
        this.write(reader.u32(), reader.rest());
        return true;
      case fromLauncher.portOutputEnd:
        this.end(reader.u32(), reader.u8() === 1);
        return true;
      case fromLauncher.portInputTaken:
        this.taken(reader.u32(), reader.u32());
        return true;
      default:
        return false;
    }
  }

  /** The command has ended. */
  close(): void {
    const all = [...this.connections.values()];
    this.connections.clear();
    // What still came from it is written first.
    for (const { socket } of all) socket.end(() => socket.destroy());
  }

  private connected(number: number, errno: number): void {
    const connected = this.connections.get(number);
    if (!connected) return;
    const { socket } = connected;
    if (errno !== 0) {
      this.connections.delete(number);
      socket.destroy();
      return;
    }
    socket.on('data', (bytes: Buffer) => {
      this.say(toLauncher.portInput, number, (frame) => frame.raw(bytes));
      connected.untaken += bytes.length;
      if (connected.untaken >= untakenBytesMax) socket.pause();
    });
    socket.on('end', () => this.say(toLauncher.portInputEnd, number, (frame) => frame.u8(false)));
  }

  private write(number: number, bytes: Buffer): void {
    const taken = (): void => this.say(toLauncher.portTaken, number, (frame) => frame.u32(bytes.length));
    this.connections.get(number)?.socket.write(bytes, taken);
  }

  private end(number: number, isWhole: boolean): void {
    const socket = this.connections.get(number)?.socket;
    if (!isWhole) return void socket?.end();
    this.connections.delete(number);
    socket?.end(() => socket.destroy());
  }

  private taken(number: number, bytes: number): void {
    const connected = this.connections.get(number);
    if (!connected) return;
    if (bytes > connected.untaken) throw malformed();
    connected.untaken -= bytes;
    if (connected.untaken < untakenBytesMax) connected.socket.resume();
  }

  private say(type: number, number: number, more: (frame: FrameWriter) => FrameWriter): void {
    this.send(more(new FrameWriter(type).u32(number)).done());
  }
}

/**
 * A web server of a test on loopback, that hooks send to.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Received {
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  readonly message: {
    readonly id: string;
    readonly kind: string;
    readonly pipeline: string | null;
    readonly text: string;
    readonly heldBack: number;
    readonly job: { readonly job: string; readonly state: string } | null;
  };
}

export class Receiver implements AsyncDisposable {
  readonly received: Received[] = [];
  /** How it answers; it takes what it is sent by default. */
  answer: (response: ServerResponse) => void = (response) => void response.end('thanks');
  private readonly server = createServer((request, response) => {
    void text(request).then((body) => {
      this.received.push({ headers: request.headers, text: body, message: JSON.parse(body) as Received['message'] });
      this.answer(response);
    });
  });

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    await new Promise<void>((done) => receiver.server.listen(0, '127.0.0.1', done));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** `kind pipeline+heldBack` of each message, in order. */
  get told(): string[] {
    return this.received.map(({ message: { kind, pipeline, heldBack } }) => {
      return `${kind} ${pipeline}${heldBack === 0 ? '' : `+${heldBack}`}`;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

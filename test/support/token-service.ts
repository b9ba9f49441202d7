/**
 * A stand-in for the service that gives credentials for the token of a service account, as Amazon's
 * does (AssumeRoleWithWebIdentity): real HTTP, and keys that hold for as long as a test says.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TokenService extends AsyncDisposable {
  readonly port: number;
  /** What was asked for, in order. */
  readonly asked: URLSearchParams[];
  /** Of the credentials from now on. */
  seconds: number;
  /** Its answer is this error from now on. */
  refuses: { readonly code: string; readonly message: string } | undefined;
}

export async function tokenService(keys: { readonly id: string; readonly secret: string }): Promise<TokenService> {
  const server = createServer((request, answer) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      service.asked.push(new URLSearchParams(Buffer.concat(pieces).toString()));
      const { refuses, seconds } = service;
      answer.writeHead(refuses ? 400 : 200, { 'Content-Type': 'text/xml' });
      if (refuses) {
        const { code, message } = refuses;
        answer.end(
          `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`,
        );
        return;
      }
      const expiration = new Date(Date.now() + seconds * 1000).toISOString();
      const given = `<AccessKeyId>${keys.id}</AccessKeyId><SecretAccessKey>${keys.secret}</SecretAccessKey><Expiration>${expiration}</Expiration>`;
      const result = `<AssumeRoleWithWebIdentityResult><Credentials>${given}</Credentials></AssumeRoleWithWebIdentityResult>`;
      answer.end(`<AssumeRoleWithWebIdentityResponse>${result}</AssumeRoleWithWebIdentityResponse>`);
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const service: TokenService = {
    port: (server.address() as AddressInfo).port,
    asked: [],
    seconds: 3600,
    refuses: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  return service;
}

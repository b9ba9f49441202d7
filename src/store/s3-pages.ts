/**
 * The pages of a listing, one after another. A server whose answers lead back to a page that was there
 * would be asked for ever: that ends in an error.
 */
import { PachError } from '../base/errors.ts';

interface Page {
  readonly IsTruncated?: boolean | undefined;
  readonly NextContinuationToken?: string | undefined;
  readonly Contents?: readonly { readonly Key?: string | undefined }[] | undefined;
}

/** Pages without a key, one after another, that a server may send: some skip what they have removed. */
const emptyPagesMax = 1000;

export class Pages {
  private readonly shown: string;
  private readonly tokens = new Set<string>();
  private readonly firstKeys = new Set<string>();
  private empty = 0;

  /** `shown`: what is listed, for messages. */
  constructor(shown: string) {
    this.shown = shown;
  }

  /** What asks for the page after this one; undefined after the last. Throws `unsupported`. */
  after({ IsTruncated, NextContinuationToken: token, Contents: [first] = [] }: Page): string | undefined {
    if (first?.Key === undefined) this.empty += 1;
    else if (this.firstKeys.has(first.Key)) throw this.endless('a page of it came twice');
    else {
      this.firstKeys.add(first.Key);
      this.empty = 0;
    }
    if (!IsTruncated) return undefined;
    if (token === undefined || token === '') throw this.endless('it is cut, and nothing says where it goes on');
    if (this.tokens.has(token)) throw this.endless('the same continuation token came twice');
    if (this.empty > emptyPagesMax) throw this.endless(`${emptyPagesMax} pages without an object came in a row`);
    this.tokens.add(token);
    return token;
  }

  private endless(why: string): PachError {
    return new PachError('unsupported', {
      what: this.shown,
      why: `the server's listing has no end: ${why}`,
      next: 'check the server, and what stands between it and this machine; nothing was removed',
    });
  }
}

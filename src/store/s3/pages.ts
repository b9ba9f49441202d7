/**
 * The pages of a listing, one after another. A server may answer with a page that was there before;
 * that is an error, as the listing would never end.
 */
import { PachError } from '../../base/errors.ts';

interface Page {
  readonly Name?: string | undefined;
  readonly IsTruncated?: boolean | undefined;
  readonly NextContinuationToken?: string | undefined;
  readonly Contents?: readonly { readonly Key?: string | undefined }[] | undefined;
}

/** Empty pages in a row that a server may send. Some servers send them for keys that were removed. */
const emptyPagesMax = 1000;
/** How much of a key messages show. */
const keyCharactersMax = 200;

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
  after({ Name, IsTruncated, NextContinuationToken: token, Contents }: Page): string | undefined {
    const first = Contents?.[0];
    // The SDK takes any page of HTML for a listing with nothing in it.
    if (Name === undefined && IsTruncated === undefined && first === undefined) {
      throw this.refused('the answer of the server is not a listing');
    }
    if (first?.Key === undefined) this.empty += 1;
    else if (this.firstKeys.has(first.Key)) throw this.endless('the same page came twice');
    else {
      this.firstKeys.add(first.Key);
      this.empty = 0;
    }
    if (!IsTruncated) return undefined;
    if (token === undefined || token === '')
      throw this.endless('a page is not the last one, and it has no continuation token');
    if (this.tokens.has(token)) throw this.endless('the same continuation token came twice');
    if (this.empty > emptyPagesMax) throw this.endless(`${emptyPagesMax} pages without an object came in a row`);
    this.tokens.add(token);
    return token;
  }

  /** The error for a key that was not asked for. */
  outside(key: string): PachError {
    return this.refused(`the server lists an object that is not below this prefix: ${key.slice(0, keyCharactersMax)}`);
  }

  private endless(why: string): PachError {
    return this.refused(`the server's listing has no end: ${why}`);
  }

  private refused(why: string): PachError {
    return new PachError('unsupported', {
      what: this.shown,
      why,
      next: 'check the server, and any proxy between it and this machine; nothing was removed',
    });
  }
}

/**
 * The credentials that sign requests, from the environment and the profile of AWS. Short-lived ones
 * are replaced while a mount lives, so credentials that the server refuses are looked up again, past
 * every cache of the SDK.
 */
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { isPachError, type PachError } from '../../base/errors.ts';
import { whyNoCredentials } from './no-credentials.ts';

type Settings = NonNullable<Parameters<typeof defaultProvider>[0]>;
type Provider = ReturnType<typeof defaultProvider>;
export type KeyPair = Awaited<ReturnType<Provider>>;

/** A look-up that failed or brought nothing new is not repeated for so long: it may run a program or ask a person. */
const pauseMs = 5_000;

export class Credentials {
  /** For the SDK; `memoized` keeps it from a cache of its own. */
  readonly provide = Object.assign(() => this.lookUp(), { memoized: true });
  private readonly settings: () => Settings;
  private provider: Provider | undefined;
  private last: KeyPair | undefined;
  private generation = 0;
  private failure: PachError | undefined;
  private quietUntil = 0;
  private renewing: Promise<void> | undefined;

  /** `settings` are for the clients that the SDK makes to get credentials. */
  constructor(settings: () => Settings) {
    this.settings = settings;
  }

  /** The number of the credentials that hold now, for `renew`. Throws `denied` or `unreachable` saying why there are none. */
  async current(): Promise<number> {
    await this.lookUp();
    return this.generation;
  }

  /**
   * The server refused the credentials of number `used`. True when there are others now. Callers at
   * the same time share one look-up. Throws as `current` does.
   */
  async renew(used: number): Promise<boolean> {
    if (used !== this.generation) return true;
    if (performance.now() >= this.quietUntil) {
      this.renewing ??= this.lookUpAnew().finally(() => (this.renewing = undefined));
      await this.renewing;
    }
    return used !== this.generation;
  }

  private async lookUpAnew(): Promise<void> {
    const before = this.generation;
    this.provider = undefined;
    await this.lookUp();
    if (before === this.generation) this.quietUntil = performance.now() + pauseMs;
  }

  private async lookUp(): Promise<KeyPair> {
    if (this.failure && performance.now() < this.quietUntil) throw this.failure;
    this.failure = undefined;
    const provider = (this.provider ??= defaultProvider({ ...this.settings(), ignoreCache: true }));
    try {
      const found = await provider();
      if (!areSame(found, this.last)) this.generation += 1;
      this.last = found;
      return found;
    } catch (error) {
      // A provider that failed may have cached the profile, so the next look-up makes a new one.
      if (this.provider === provider) this.provider = undefined;
      const failure = isPachError(error) ? error : await whyNoCredentials(error);
      this.failure = failure;
      this.quietUntil = performance.now() + pauseMs;
      throw failure;
    }
  }
}

function areSame(one: KeyPair, other: KeyPair | undefined): boolean {
  return (
    one.accessKeyId === other?.accessKeyId &&
    one.secretAccessKey === other.secretAccessKey &&
    one.sessionToken === other.sessionToken
  );
}

/**
 * How the writers of one project share its head: everyone tries until he has moved it, and no one
 * is kept from it by others who are lucky.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../base/errors.ts';
import type { OperationId } from '../model/records/operation.ts';
import type { Token } from '../store/store.ts';

const attemptsMax = 200;
const pauseMsMax = 500;
/** So long after another one's change there is likely to be a next one. */
const busyMs = 2000;

export class Contention {
  private readonly project: string;
  private seen: OperationId | undefined;
  private othersMs = -Infinity;
  private attemptMs = 0;
  /** Token of a head that has a successor; whether the store showed it again nevertheless. */
  private replaced: Token | undefined;
  private isStale = false;

  /** `project` is for messages. */
  constructor(project: string) {
    this.project = project;
  }

  /** Tells of a head that was read, with its token, or that this writer has written. */
  saw(operation: OperationId, { token, isOwn = false }: { token?: Token; isOwn?: boolean }): void {
    this.isStale = token !== undefined && token === this.replaced;
    if (this.seen !== undefined && this.seen !== operation && !isOwn) this.othersMs = performance.now();
    this.seen = operation;
  }

  /** Tells that the store did not write a head, since the one with this token is not the newest. */
  lost(token: Token | undefined): void {
    this.replaced = token;
  }

  /**
   * Waits a little before a new change, where others write too: who has just won would begin before
   * they know that they have lost, and win again.
   */
  async giveWay(): Promise<void> {
    if (performance.now() - this.othersMs < busyMs)
      await sleep(Math.random() * Math.min(pauseMsMax, 2 * this.attemptMs));
  }

  /**
   * Runs `attempt` until it resolves to something, which it does unless another writer was faster.
   * Throws `conflict` after many attempts.
   */
  async retry<T>(attempt: () => Promise<{ readonly result: T } | undefined>): Promise<T> {
    for (let number = 1; number <= attemptsMax; number += 1) {
      const begunMs = performance.now();
      const done = await attempt();
      this.attemptMs = performance.now() - begunMs;
      if (done) return done.result;
      // Who has lost often waits less than who has lost once.
      await sleep((Math.random() * Math.min(pauseMsMax, this.attemptMs)) / number);
    }
    if (this.isStale) {
      throw new PachError('unreachable', {
        what: `project ${this.project}`,
        why: `the store showed an old head ${attemptsMax} times: a proxy or cache on the way may keep it`,
        next: 'use the address of the store itself',
      });
    }
    throw new PachError('conflict', {
      what: `project ${this.project}`,
      why: `other writers were faster ${attemptsMax} times`,
      next: 'run the same command again',
    });
  }
}

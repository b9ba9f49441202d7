/**
 * Which engines stay up, for people who want to know: a small object beside the head for each, which it
 * writes anew from time to time and deletes when it ends. Nothing is decided by it; who may run what, the
 * leases say. So an idle engine moves no head, and nobody is woken by it.
 */
import { randomBytes } from 'node:crypto';
import { isPachError } from '../base/errors.ts';
import { engineKey, enginesPrefix } from '../model/keys.ts';
import { decodeEngine, encodeEngine, type EngineRecord } from '../model/records/engine.ts';
import { isGone, thisEngine } from '../pipelines/jobs/lease.ts';
import type { Store, Token } from '../store/store.ts';
import type { Project } from '../versions/project.ts';

/** How often it is renewed, and for how long it counts. */
const renewMs = 2 * 60_000;
const lastsMs = 5 * 60_000;

export class Presence {
  private readonly project: Project;
  private readonly told: Pick<EngineRecord, 'version' | 'only' | 'branch'>;
  private readonly key: string;
  private readonly since = Date.now();
  private timer: NodeJS.Timeout | undefined;
  private renewing: Promise<void> | undefined;
  private token: Token | undefined;

  constructor(project: Project, told: Pick<EngineRecord, 'version' | 'only' | 'branch'>) {
    this.project = project;
    this.told = told;
    this.key = engineKey(project.options.name, randomBytes(16).toString('hex'));
  }

  /** From now on others are told that it is there. A store that is away keeps nobody waiting. */
  begin(): void {
    if (this.timer) return;
    const renew = (): void => {
      this.renewing ??= this.renew(Date.now())
        .catch(() => undefined)
        .finally(() => (this.renewing = undefined));
    };
    this.timer = setInterval(renew, renewMs).unref();
    this.renewing = clear(this.project, this.since)
      .catch(() => undefined)
      .then(() => (this.renewing = undefined))
      .then(renew);
  }

  /** It is not there any more. Never rejects. */
  async end(): Promise<void> {
    clearInterval(this.timer);
    while (this.renewing) await this.renewing;
    if (this.timer) await this.project.options.store.delete(this.key).catch(() => undefined);
  }

  private async renew(now: number): Promise<void> {
    const { store, author } = this.project.options;
    const record = { ...thisEngine(author), ...this.told, since: this.since, until: now + lastsMs };
    // Undefined where somebody has taken it away: the next time it is made anew.
    this.token = await store.writeIfUnchanged(this.key, encodeEngine(record), this.token);
  }
}

/** The engines that stay up, as far as is known, those that came first first. */
export async function listEngines(project: Project, now: number): Promise<EngineRecord[]> {
  const engines: EngineRecord[] = [];
  for await (const { record } of records(project)) if (record && isThere(record, now)) engines.push(record);
  return engines.sort((a, b) => a.since - b.since);
}

/** Takes away what engines left that died. */
async function clear(project: Project, now: number): Promise<void> {
  for await (const { key, record } of records(project)) {
    if (record && !isThere(record, now)) await project.options.store.delete(key);
  }
}

/** `record`: undefined for what this program can't read. */
async function* records(project: Project): AsyncGenerator<{ key: string; record: EngineRecord | undefined }> {
  const { store, name } = project.options;
  for await (const { key } of store.list(enginesPrefix(name))) {
    const record = await readEngine(store, key);
    if (record !== 'gone') yield { key, record };
  }
}

async function readEngine(store: Store, key: string): Promise<EngineRecord | 'gone' | undefined> {
  const found = await store.readWithToken(key);
  if (!found) return 'gone';
  try {
    return decodeEngine(Buffer.from(found.bytes), key);
  } catch (error) {
    if (isPachError(error, 'damaged', 'unsupported')) return undefined;
    throw error;
  }
}

/** A clock that is far behind the engine's takes it for one that is there. */
function isThere(record: EngineRecord, now: number): boolean {
  return record.until > now && !isGone(record);
}

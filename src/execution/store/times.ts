/**
 * How often engine and workers look at what the other has written. Each judges by its own clock how
 * long something has not changed, and compares no times with the other.
 */
export interface WorkTimes {
  /** The engine lists the objects of the job; a worker without work begins so, and slows down. */
  readonly lookMs: number;
  readonly idleLookMsMax: number;
  /** The engine writes its offer anew, a worker its claim. */
  readonly beatMs: number;
  /** A claim that has not changed for so long is nobody's. */
  readonly claimMs: number;
  /** A worker that runs a command asks whether the job goes on. */
  readonly askMs: number;
  /** A worker delivers after this time, later after twice as long, up to the second one. */
  readonly deliverMs: number;
  readonly deliverMsMax: number;
  /** The engine moves the head at most once in this time. */
  readonly publishMs: number;
  /** A worker that has heard of no engine for so long works for nobody. */
  readonly silenceMs: number;
  /** A shard is to take so long, and so long at most where there are many workers. */
  readonly shardMs: number;
  readonly shardMsMax: number;
  /** Workers that are asked to stop have so long. */
  readonly graceMs: number;
  /** Of many workers each asks, renews, delivers and takes a shard after as many times this at the earliest. */
  readonly askMsEach: number;
  readonly beatMsEach: number;
  readonly deliverMsEach: number;
  readonly shardMsEach: number;
}

export const workTimes: WorkTimes = {
  lookMs: 1000,
  idleLookMsMax: 5000,
  beatMs: 20_000,
  claimMs: 60_000,
  askMs: 3000,
  deliverMs: 250,
  deliverMsMax: 30_000,
  publishMs: 10_000,
  silenceMs: 600_000,
  shardMs: 10_000,
  shardMsMax: 180_000,
  graceMs: 10_000,
  askMsEach: 30,
  beatMsEach: 60,
  deliverMsEach: 100,
  shardMsEach: 180,
};

/** Where somebody waits for the first results, and workers are there already. */
export const warmTimes: WorkTimes = {
  ...workTimes,
  lookMs: 200,
  idleLookMsMax: 1000,
  askMs: 500,
  deliverMs: 50,
  deliverMsMax: 2000,
};

/** At the most, however many there are. */
const asksMsMax = 30_000;
const beatMsMost = 60_000;
const deliverMsMost = 100_000;

export interface TimesOfMany extends WorkTimes {
  /** The least that lies between two deliveries of a worker. */
  readonly deliverMsMin: number;
}

/**
 * The times of `times`, so much longer that many workers ask no more of the store than some. There are never more
 * workers than claims: by these the engine judges how long one may last, and so longer than its worker does.
 */
export function timesFor(times: WorkTimes, workers: number): TimesOfMany {
  const { askMs, idleLookMsMax, beatMs, claimMs, shardMs, shardMsMax, graceMs } = times;
  const asks = Math.min(asksMsMax, workers * times.askMsEach);
  const beats = Math.max(beatMs, Math.min(beatMsMost, workers * times.beatMsEach));
  return {
    ...times,
    askMs: Math.max(askMs, asks),
    idleLookMsMax: Math.max(idleLookMsMax, asks),
    beatMs: beats,
    claimMs: (claimMs * beats) / beatMs,
    deliverMsMin: Math.min(deliverMsMost, workers * times.deliverMsEach),
    shardMs: Math.max(shardMs, Math.min(shardMsMax, workers * times.shardMsEach)),
    // Workers hear of the end when they ask.
    graceMs: graceMs + Math.max(0, asks - askMs),
  };
}

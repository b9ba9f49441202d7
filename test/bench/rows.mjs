/**
 * What was measured, as rows of one table, and what it is held against.
 *
 * @typedef {{ cpuSeconds: number, peakMiB: number }} Cost
 * @typedef {{ work: string, unit: string, ours: number, cost?: Cost,
 *   against?: string, reference?: number, referenceCost?: Cost, ratio?: number }} Row
 * @typedef {({ least: number } | { most: number }) & { optional?: true }} Limit optional: what it needs may be missing
 * @typedef {Record<string, Limit>} Limits by work: of our value; by `work / reference`: of the ratio
 */

/** Times that a work is measured, unless it says otherwise. ROUNDS=1 is for a quick look. */
export const rounds = Number(process.env['ROUNDS'] ?? 3);

/** Of all sizes. SCALE=0.01 is for trying out: names and limits stay those of the full size. */
export const scale = Number(process.env['SCALE'] ?? 1);

/** @param {readonly number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Values by work and by who did it; their medians make the rows. Each is told at once: a long run may fail. */
export class Samples {
  /** @type {Map<string, { unit: string, byWho: Map<string, { value: number, cost?: Cost | undefined }[]> }>} */
  #works = new Map();

  /** @param {string} work @param {string} unit @param {string} who @param {number} value @param {Cost} [cost] */
  add(work, unit, who, value, cost) {
    const kept = this.#works.get(work) ?? { unit, byWho: new Map() };
    this.#works.set(work, kept);
    kept.byWho.set(who, [...(kept.byWho.get(who) ?? []), { value, cost }]);
    console.error(`bench:   ${work}, ${who}: ${value.toPrecision(4)} ${unit}`);
  }

  /** @returns {Row[]} */
  rows() {
    return [...this.#works].flatMap(([work, { unit, byWho }]) => {
      const own = summary(byWho.get('ours') ?? []);
      const ours = { work, unit, ours: own.value, ...(own.cost && { cost: own.cost }) };
      const others = [...byWho].filter(([who]) => who !== 'ours');
      if (others.length === 0) return [ours];
      return others.map(([against, samples]) => {
        const { value: reference, cost } = summary(samples);
        return { ...ours, against, reference, ...(cost && { referenceCost: cost }), ratio: own.value / reference };
      });
    });
  }
}

/** @param {readonly { value: number, cost?: Cost | undefined }[]} samples */
function summary(samples) {
  const costs = samples.flatMap(({ cost }) => cost ?? []);
  const cost = {
    cpuSeconds: median(costs.map(({ cpuSeconds }) => cpuSeconds)),
    peakMiB: Math.max(...costs.map(({ peakMiB }) => peakMiB)),
  };
  return { value: median(samples.map(({ value }) => value)), ...(costs.length > 0 && { cost }) };
}

/**
 * What is beyond its limit, by row, in words; and limits of which nothing was measured: `missing` those that may be.
 *
 * @param {readonly Row[]} rows
 * @param {Limits} limits
 */
export function judge(rows, limits) {
  const unseen = new Set(Object.keys(limits));
  /** @param {string} name @param {number} value @param {string} what */
  const beyond = (name, value, what) => {
    unseen.delete(name);
    const limit = limits[name];
    if (!limit) return [];
    if ('least' in limit) return value >= limit.least ? [] : [`${what} below ${limit.least}`];
    return value <= limit.most ? [] : [`${what} above ${limit.most}`];
  };
  const isOptional = (/** @type {string} */ name) => limits[name]?.optional === true;
  const verdicts = rows.map(({ work, ours, against, ratio }) => [
    ...beyond(work, ours, 'ours'),
    ...(ratio === undefined ? [] : beyond(`${work} / ${against}`, ratio, 'ratio')),
  ]);
  const [missing, required] = [[...unseen].filter(isOptional), [...unseen].filter((name) => !isOptional(name))];
  return { verdicts, unseen: required, missing };
}

/** @param {number} value */
function numberText(value) {
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

/** @param {Cost | undefined} cost */
function costText(cost) {
  return cost ? `${numberText(cost.cpuSeconds)} s, ${numberText(Math.round(cost.peakMiB))} MiB` : '';
}

/**
 * The table, a line a row. @param {readonly Row[]} rows @param {readonly string[][]} verdicts
 */
export function tableText(rows, verdicts) {
  const cells = rows.map(({ work, unit, ours, cost, against, reference, referenceCost, ratio }, index) => [
    work,
    `${numberText(ours)} ${unit}`,
    costText(cost),
    reference === undefined ? '' : `${numberText(reference)} ${unit}`,
    costText(referenceCost),
    against ?? '',
    ratio?.toFixed(2) ?? '',
    verdicts[index]?.join(', ') ?? '',
  ]);
  const table = [['work', 'ours', 'CPU, peak', 'reference', 'CPU, peak', '', 'ratio', ''], ...cells];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

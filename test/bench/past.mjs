/**
 * The works of history: where something came from, when it went wrong, and taking it back.
 * PARTS=lineage, PARTS=searches or PARTS=undo measures only that.
 */
import { askLineage, limits as ofLineage } from './lineage.mjs';
import { Samples } from './rows.mjs';
import { askSearches, limits as ofSearches } from './searching.mjs';
import { askUndo, limits as ofUndo } from './undo.mjs';

const parts = {
  lineage: { ask: askLineage, limits: ofLineage },
  searches: { ask: askSearches, limits: ofSearches },
  undo: { ask: askUndo, limits: ofUndo },
};
const wanted = (process.env['PARTS'] || Object.keys(parts).join()).split(',');
const chosen = Object.entries(parts).filter(([name]) => wanted.includes(name));

/** @type {import('./rows.mjs').Limits} */
export const pastLimits = Object.fromEntries(chosen.flatMap(([, { limits }]) => Object.entries(limits)));

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measurePast(place, say) {
  const samples = new Samples();
  for (const [name, { ask }] of chosen) {
    say(name);
    await ask(place, samples);
  }
  return samples.rows();
}

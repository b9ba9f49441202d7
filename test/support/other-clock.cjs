// Node is started with it: gives it a clock that differs by PACH_TEST_CLOCK milliseconds from the machine's; once
// the file PACH_TEST_CLOCK_AFTER is there, where one is named.
'use strict';
const { existsSync } = require('node:fs');

const Real = Date;
const { PACH_TEST_CLOCK: difference, PACH_TEST_CLOCK_AFTER: after } = process.env;
const lookMs = 20;
let differs = after === undefined;
let lookedAt = -Infinity;

function now() {
  if (!differs && performance.now() - lookedAt > lookMs) {
    lookedAt = performance.now();
    differs = existsSync(after);
  }
  return Real.now() + (differs ? Number(difference) : 0);
}

globalThis.Date = new Proxy(Real, {
  construct: (target, words, other) => Reflect.construct(target, words.length === 0 ? [now()] : words, other),
  apply: () => new Real(now()).toString(),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});

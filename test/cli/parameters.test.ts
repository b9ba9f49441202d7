/**
 * Declarations of arguments and options: what the Tab key and the checks take from them.
 */
import { expect, test } from 'vitest';
import { wantedAt } from '../../src/cli/completion/wanted.ts';
import { checkValues, commonOptions, type Parameter, type Parameters } from '../../src/cli/parameters.ts';
import { verbs } from '../../src/cli/parsing/verbs.ts';

test('a number below its least and options that exclude each other are refused', () => {
  const options: Parameters = { number: { type: 'count', least: 1, describe: '' } };
  const conflicts = [{ option: 'a', others: ['b'], why: 'not both' }];
  const refused = { code: 'usage' };
  for (const number of [0, -1, 1.5, Number.NaN]) {
    expect(() => checkValues({ number }, options, [])).toThrow(expect.objectContaining(refused));
  }
  expect(() => checkValues({ a: true, b: true }, {}, conflicts)).toThrow(expect.objectContaining(refused));
  checkValues({ number: 1, a: true, b: false }, options, conflicts);
  checkValues({}, options, conflicts);
});

test('the Tab key offers what the declaration at the cursor names', () => {
  expect(wantedAt(['logs', '-p'], '').kinds).toEqual(['pipeline']);
  expect(wantedAt(['inspect', 'datum'], '').kinds).toEqual(['job', 'pipeline']);
  expect(wantedAt(['inspect', 'datum', '3f'], '').kinds).toEqual([]);
  expect(wantedAt(['mount', 'images', '-r', 'a'], '').kinds).toEqual(['file', 'local']);
  expect(wantedAt(['draw'], '--format=').words).toEqual(['svg', 'dot']);
});

test('no verb declares a name or a letter twice', () => {
  for (const { name, options, ...verb } of verbs) {
    const names = [commonOptions, verb.arguments, options].flatMap((each) => Object.keys(each));
    const all = [...Object.values<Parameter>(commonOptions), ...Object.values(options)];
    const letters = all.flatMap(({ alias }) => alias ?? []);
    expect({ name, names: [...new Set(names)], letters: [...new Set(letters)] }).toEqual({ name, names, letters });
  }
});

/**
 * The schema for editors and SPEC.md say what the tables of fields say. After a change of those:
 * `npx vitest run test/pipelines/spec-docs.test.ts -u` writes both anew.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fieldsPage } from '../../src/pipelines/spec/describe.ts';
import { specSchema } from '../../src/pipelines/spec/schema.ts';

const root = join(import.meta.dirname, '../..');
/** For who sees a test of these fail. */
const anew = 'npx vitest run test/pipelines/spec-docs.test.ts -u writes it anew';

test(`the schema is that of the tables: ${anew}`, async () => {
  const schema = `${JSON.stringify(specSchema(), undefined, 2)}\n`;
  await expect(schema).toMatchFileSnapshot(join(root, 'fixtures/pipeline.schema.json'));
});

test(`SPEC.md is that of the tables: ${anew}`, async () => {
  await expect(fieldsPage()).toMatchFileSnapshot(join(root, 'src/pipelines/SPEC.md'));
});

test('every reference of the schema has its definition', () => {
  const { $defs } = specSchema();
  const text = JSON.stringify(specSchema());
  const named = [...text.matchAll(/"\$ref":"#\/\$defs\/(\w+)"/g)].map(([, name]) => name);
  expect(new Set(named)).toEqual(new Set(Object.keys($defs as object)));
});

/** What is below the mount works on the Node that comes after: some of its tests run once more, there. All: test/long. */
import { test } from 'vitest';
import { passUnderNode24 } from '../support/node-24.ts';

test('tests of formats and of the addon pass under Node 24', () =>
  passUnderNode24(['test/model/', 'test/base/native-hash', 'test/base/native-blob', 'test/base/processes'], 280));

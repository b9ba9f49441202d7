/** What is below the mount works on the Node that comes after: its tests run once more, there. */
import { test } from 'vitest';
import { passUnderNode24 } from '../support/node-24.ts';

test('the tests of base and model pass under Node 24', () => passUnderNode24(['test/base', 'test/model'], 300));

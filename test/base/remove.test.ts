import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { removeTree } from '../../src/base/remove.ts';

test('folders are removed however deep they are, and whatever their rights', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pach-remove-'));
  try {
    const top = join(dir, 'top');
    mkdirSync(join(top, 'closed/below'), { recursive: true });
    writeFileSync(join(top, 'closed/below/file'), '');
    const deeper =
      'import os\nfor i in range(800): os.mkdir("ddddd"); os.chdir("ddddd")\nopen("end", "w")\nos.chmod(".", 0)';
    execFileSync('python3', ['-c', deeper], { cwd: top });
    execFileSync('chmod', ['000', join(top, 'closed/below'), join(top, 'closed')]);
    expect(() => rmSync(top, { recursive: true })).toThrow();
    removeTree(Buffer.from(top));
    removeTree(Buffer.from(join(dir, 'not there')));
    expect(existsSync(top)).toBe(false);
    expect(readdirSync(dir)).toEqual([]);
  } finally {
    execFileSync('rm', ['-rf', dir]);
  }
});

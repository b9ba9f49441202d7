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
      'for (let i = 0; i < 800; i += 1) { fs.mkdirSync("ddddd"); process.chdir("ddddd"); } fs.writeFileSync("end", "")';
    execFileSync(process.execPath, ['-e', deeper], { cwd: top });
    execFileSync('chmod', ['000', join(top, 'closed/below'), join(top, 'closed')]);
    expect(() => rmSync(top, { recursive: true })).toThrow(/ENAMETOOLONG|EACCES/);
    removeTree(Buffer.from(top));
    removeTree(Buffer.from(join(dir, 'not there')));
    expect(existsSync(top)).toBe(false);
    expect(readdirSync(dir)).toEqual([]);
  } finally {
    execFileSync('rm', ['-rf', dir]);
  }
});

/**
 * The files of a new pipeline, to begin with: a spec with comments, code that runs, an image.
 */
import { dockerfile, dockerIgnore, pachIgnore } from './convert.ts';
import { specText } from './spec-text.ts';

const script = `"""Runs once for each datum: sees its input in /pfs/data, and leaves its results in /pfs/out."""
import pathlib

source = pathlib.Path('/pfs/data')
for path in sorted(source.rglob('*')):
    if path.is_file():
        target = pathlib.Path('/pfs/out') / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f'{path.stat().st_size}\\n')
`;

/** By path below the folder of the pipeline. */
export function newPipeline(name: string): Map<string, string> {
  const stage = { name, repos: ['data'], script: 'main.py', env: {}, glob: '/*' };
  return new Map([
    [`${name}.yaml`, specText([stage], { from: undefined, image: `${name.toLowerCase()}:dev`, local: [] })],
    ['src/main.py', script],
    ['requirements.txt', ''],
    ['Dockerfile', dockerfile()],
    ['.dockerignore', dockerIgnore],
    ['.pachignore', pachIgnore],
  ]);
}

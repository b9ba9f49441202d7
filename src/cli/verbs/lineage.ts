/**
 * lineage: what something was made of, and what was made of it.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { parsePath, pathOf } from '../../model/paths.ts';
import { lineageOf } from '../../pipelines/lineage/lineage.ts';
import { dotOf, svgOf } from '../../shown/draw.ts';
import { edgeJson, LineageGraph } from '../../shown/lineage.ts';
import { Directories } from '../../versions/directories.ts';
import { resolveCommit } from '../../versions/resolve.ts';
import { rootOf } from '../../versions/snapshot.ts';
import { addressOf } from '../addresses.ts';
import { fileArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

export const lineageVerb = verb({
  name: 'lineage',
  reads: true,
  summary: 'Show what a version or file was computed from, or what was computed from it',
  examples: [
    ['lineage edges@master', 'All versions that it was computed from, back to the sources'],
    ['lineage edges@master:/a.png', 'What one file was computed from'],
    ['lineage images@master:/a.png --down', 'Everything that was computed from a file'],
    ['lineage edges@master -o svg > lineage.svg', 'Draw it'],
  ],
  json: edgeJson,
  formats: ['dot', 'svg'],
  arguments: { address: fileArgument },
  options: {
    down: { type: 'flag', describe: 'Show what was computed from it' },
    depth: { type: 'count', least: 1, describe: 'Show at most this many steps' },
  },
  async run({ address: text, down, depth, output: format }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(text, settings);
    await using opened = await openProject(where);
    const { project } = opened;
    const snapshot = await project.snapshot();
    const commit = await resolveCommit(snapshot, address);
    const path = address.path === undefined ? undefined : pathOf(parsePath(address.path));
    if (path !== undefined && !(await new Directories(project.reader).find(rootOf(commit), parsePath(path)))) {
      throw new PachError('not-found', { what: text, why: 'that version has no such path' });
    }
    const top = { repo: commit.repo, commit: commit.id, ...(path !== undefined && { path }) };
    const note = (line: string): void => output.note(line);
    const edges = lineageOf(snapshot, top, { down, depth: depth ?? Infinity, signal, note });
    if (output.format !== 'table') {
      await output.rows(edges, []);
      return;
    }
    const graph = new LineageGraph(top, down);
    for await (const edge of edges) graph.add(edge);
    if (format === 'dot' || format === 'svg') {
      await output.write(format === 'dot' ? dotOf(graph.graph()) : svgOf(graph.graph()));
      return;
    }
    await output.lines(graph.lines(output.id));
    if (!graph.hasEdges)
      output.note(down ? 'nothing was computed from it' : 'it was computed from nothing: it was put');
  },
});

/**
 * draw: the graph of repos and pipelines.
 */
import { openProject } from '../../app/open.ts';
import { dotOf, svgOf, type DrawnPipeline } from '../../shown/draw.ts';
import { newestJob } from '../../pipelines/jobs/jobs.ts';
import { listPipelines } from '../../pipelines/pipelines.ts';
import { pfsInputs } from '../../pipelines/spec/input.ts';
import { verb } from '../verb.ts';

export const drawVerb = verb<{ format: string }>({
  command: 'draw',
  summary: 'Draw the graph of repos and pipelines',
  examples: [
    ['draw > graph.svg', 'Write a picture'],
    ['draw --format dot | dot -Tpng > graph.png', 'Draw it with Graphviz'],
  ],
  options: (yargs) =>
    yargs.option('format', { choices: ['svg', 'dot'], default: 'svg', describe: 'A picture, or text for Graphviz' }),
  formats: false,
  async run({ format }, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    const pipelines: DrawnPipeline[] = [];
    for (const { name, spec, stopped } of await listPipelines(snapshot)) {
      const state = stopped ? 'stopped' : (await newestJob(snapshot, name, spec.outputBranch)).job?.state;
      pipelines.push({ name, inputs: pfsInputs(spec.input), state });
    }
    await output.write(format === 'dot' ? dotOf({ pipelines }) : svgOf({ pipelines }));
  },
});

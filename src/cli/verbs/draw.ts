/**
 * draw: the graph of repos and pipelines.
 */
import { openProject } from '../../app/open.ts';
import { dotOf, svgOf } from '../../shown/draw.ts';
import { drawingOf } from '../../shown/pipelines.ts';
import { verb } from '../verb.ts';

export const drawVerb = verb({
  name: 'draw',
  summary: 'Draw the graph of repos and pipelines',
  examples: [
    ['draw > graph.svg', 'Write a picture'],
    ['draw --format dot | dot -Tpng > graph.png', 'Draw it with Graphviz'],
  ],
  options: {
    format: { type: 'text', choices: ['svg', 'dot'], default: 'svg', describe: 'A picture, or text for Graphviz' },
  },
  formats: false,
  async run({ format }, { settings, output }) {
    await using opened = await openProject(settings);
    const drawing = await drawingOf(await opened.project.snapshot());
    await output.write(format === 'dot' ? dotOf(drawing) : svgOf(drawing));
  },
});

/**
 * dev: the loop of development.
 */
import { codeOf, develop, selectionOf } from '../../app/dev.ts';
import { openProject } from '../../app/open.ts';
import { storePatience } from '../../app/patience.ts';
import { servicesHere, serviceUse } from '../../app/services-here.ts';
import { devJson } from '../../shown/dev.ts';
import { executorChoice, servicePlace } from '../cluster-options.ts';
import { explainEnvironment } from '../explain-env.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import type { Project } from '../../versions/project.ts';
import { standardInput } from '../stdin.ts';
import { DevPrinter } from '../dev-printer.ts';
import { LiveView } from '../live/live-view.ts';
import { runOptions } from '../parameters.ts';
import { verb, type VerbContext } from '../verb.ts';
import { debugVerb } from './debug.ts';

export const devVerb = verb({
  name: 'dev',
  summary: 'Run pipelines whenever their code, specs or inputs change',
  examples: [
    ['dev -f edges.json', 'Runs it on a branch of your own after each save, until Ctrl-C'],
    ['dev -f pipelines/ --executor docker', 'All pipelines of a folder, in containers'],
    ['dev -f edges.json --sample 5', 'On the first five datums only'],
    ['dev -f edges.json --code ./src:/app', 'With the code of ./src, seen at /app'],
    ['dev -f edges.json --forward svc/db:5432', 'Commands reach the service db of your cluster at db:5432'],
  ],
  json: devJson,
  options: {
    file: {
      alias: 'f',
      type: 'text',
      required: true,
      names: ['local'],
      describe: 'A spec file, or a folder of specs',
    },
    code: { type: 'list', names: ['local'], describe: 'Code beside that of the specs, or in its place: ./src:/app' },
    sample: { type: 'text', describe: 'Only a few datums: the first N, or those with a file that a pattern matches' },
    forward: {
      type: 'list',
      describe:
        "Let local commands reach a service of the cluster of --context at this machine's port: svc/db:5432, or 15432:svc/db.ml:5432",
    },
    ...runOptions,
  },
  async run({ file, code, sample, forward, executor, workers, ...more }, { settings, output, signal }) {
    const secretsFrom = more['secrets-from'];
    const uses = forward.map(serviceUse);
    if (more['explain-env']) {
      const { project } = settings;
      const specs = await readSpecs({ path: file, project, stdin: () => standardInput(signal), signal });
      const { env } = servicesHere(uses);
      const request = {
        pipeline: undefined,
        branch: undefined,
        executor,
        platform: more.platform,
        secretsFrom,
        services: env,
      };
      return explainEnvironment({ settings, output, signal }, specs, request);
    }
    const codeUses = codeOf(code);
    await using opened = await openProject(settings, {
      create: true,
      patience: executor === 'kubernetes' ? storePatience((line) => output.note(line), signal) : undefined,
    });
    using live = output.isForPeople ? liveView(opened.project, secretsFrom, { settings, output, signal }) : undefined;
    const printer = new DevPrinter(output);
    const developing = develop(settings, opened, {
      path: file,
      code: codeUses,
      selection: selectionOf(sample),
      ...executorChoice({ ...more, executor }, settings, uses.length > 0 ? ['context', 'namespace'] : []),
      forward: { uses, ...servicePlace(more, settings) },
      secretsFrom,
      workers,
      signal,
      listeners: [live?.listen ?? printer.listen],
      begun: (commands) => live?.control(commands),
    });
    await developing.catch(() => printer.end().catch(() => undefined));
    await developing;
    await printer.end();
    return signal.aborted ? 130 : 0;
  },
});

function liveView(project: Project, secretsFrom: readonly string[], context: VerbContext): LiveView {
  const { output } = context;
  return new LiveView({
    terminal: { input: process.stdin, output: process.stdout },
    project,
    color: output.color,
    cwd: process.cwd(),
    async shell(job, datum) {
      await debugVerb
        .run({ job, datum, code: [], port: [], 'secrets-from': secretsFrom }, context)
        .catch((error: unknown) => output.error(error));
    },
  });
}

/**
 * Pipelines that are run in pods of a test's namespace, as users do it: commands of this machine, a store
 * that pods reach, images of this machine's Docker engine.
 */
import { fileURLToPath } from 'node:url';
import { dockerForTests } from '../../support/docker.ts';
import { Place, type Result } from '../../support/place.ts';
import type { TestBucket } from '../../support/s3.ts';
import { namespaceForTests, until, type TestNamespace } from './cluster.ts';
import { ownCluster, storeForPods, workerImage } from './store.ts';

const script = fileURLToPath(new URL('../cluster/kubernetes.sh', import.meta.url));

/** How images get into a cluster of this machine. */
export const load = process.env['PACH_TEST_LOAD'] ?? (ownCluster && `${script} load ${ownCluster}`);
/** False in a cluster of which nobody says how images get into it, or its pods to a store. */
export const canRun = load !== undefined;

export interface Summary {
  readonly job: string;
  readonly state: string;
  readonly reason: string | null;
  readonly datums: {
    readonly total: number;
    readonly processed: number;
    readonly skipped: number;
    readonly failed: number;
  };
}

export interface Ways {
  readonly store: TestBucket;
  readonly kubeconfig: string;
  readonly namespace: TestNamespace;
}

export class Running implements AsyncDisposable {
  readonly place: Place;
  readonly namespace: TestNamespace;
  /** Words of every run in pods. */
  readonly inPods: string;

  private constructor(place: Place, namespace: TestNamespace) {
    this.place = place;
    this.namespace = namespace;
    this.inPods = `--executor kubernetes --namespace ${namespace.name} --worker-image ${workerImage} --load '${load}'`;
  }

  /** With a repo `data` of these files; by other ways to the store and the cluster where they are given. */
  static async make(files: Readonly<Record<string, string>>, ways: Partial<Ways> = {}): Promise<Running> {
    const [store, { host }, namespace] = await Promise.all([
      ways.store ?? storeForPods(),
      dockerForTests(),
      ways.namespace ?? namespaceForTests(),
    ]);
    const place = await Place.make('root', {
      ...environmentOf(store),
      KUBECONFIG: ways.kubeconfig ?? namespace.kubeconfig,
      DOCKER_HOST: host,
      K8S_BIN: process.env['K8S_BIN'],
    });
    const running = new Running(place, namespace);
    await place.must('pach create project default || :; pach create repo data; mkdir files');
    for (const [name, text] of Object.entries(files)) await place.must(`printf '%s' '${text}' > files/${name}`);
    await place.must('pach put file data@master:/ -r -f files/');
    return running;
  }

  /** Creates or updates a pipeline. */
  async set(spec: object): Promise<void> {
    await this.place.must(
      `cat > spec.json <<'END'\n${JSON.stringify(spec)}\nEND\npach create pipeline -f spec.json 2>/dev/null || pach update pipeline -f spec.json`,
    );
  }

  /** Runs it in pods, with more words. */
  run(pipeline: string, words = '', inPods = this.inPods): Promise<Result> {
    return this.place.run(`pach run pipeline ${pipeline} -o json ${inPods} ${words}`, 150);
  }

  /** What all of its output's files hold. */
  async output(pipeline: string): Promise<unknown[]> {
    const lines = await this.place.must(`pach list file ${pipeline}@master:/ -r -o json`);
    return lines
      .trim()
      .split('\n')
      .map((line) => {
        const { path, hash } = JSON.parse(line) as { path: string; hash: string };
        return { path, hash };
      });
  }

  /** All of ours that is in the namespace. */
  async left(): Promise<string[]> {
    const { cluster } = this.namespace;
    const kinds = ['Job', 'Pod', 'Secret', 'NetworkPolicy'] as const;
    const found = await Promise.all(
      kinds.map((kind) => cluster.list(kind, { labels: 'app.kubernetes.io/managed-by=pach' })),
    );
    return found.flat().map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  }

  /** The pods that run commands now, once there are so many. */
  podsRunning(count = 1): Promise<string[]> {
    return until(`${count} pods run`, async () => {
      const pods = await this.namespace.cluster.list('Pod', { labels: 'app.kubernetes.io/managed-by=pach' });
      const names = pods.flatMap(({ status, metadata }) => {
        const { phase } = status as { phase?: string };
        return phase === 'Running' ? (metadata.name ?? []) : [];
      });
      return names.length >= count ? names : undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place[Symbol.asyncDispose]();
    await this.namespace[Symbol.asyncDispose]();
  }
}

export function summaryOf({ stdout, stderr }: Result): Summary {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) throw new Error(`no summary: ${stdout}\n${stderr}`);
  return JSON.parse(line) as Summary;
}

function environmentOf({ url, env }: TestBucket): NodeJS.ProcessEnv {
  return { ...env, PACH_STORE: url };
}

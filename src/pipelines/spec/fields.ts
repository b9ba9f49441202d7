/**
 * Every field of Pachyderm's pipeline spec, with what becomes of it here, and those of `dev`, which
 * are our own. A field that changes results is mapped or refused, never read and ignored.
 */
import { goneSince2, inputFields, needsEngine, needsGateway } from './input-fields.ts';
import {
  bytes,
  cores,
  duration,
  flag,
  group,
  json,
  kept,
  listOf,
  map,
  mapped,
  needed,
  oneOf,
  percent,
  refused,
  text,
  texts,
  whole,
} from './shape.ts';

const unusedInPachyderm = 'Pachyderm itself does not use it';

const secretFields = {
  name: needed(text, 'The name of the secret; `pach create secret` makes one', 'secret must specify a name'),
  key: mapped(text, 'One key of the secret; needed with `envVar`'),
  mountPath: mapped(text, 'The folder that has a file for each key'),
  envVar: mapped(text, 'The variable that holds the value of `key`'),
};

const transformFields = {
  image: mapped(text, 'The container image; `ubuntu:20.04` by default. The process executor ignores it'),
  cmd: needed(texts, 'Program and arguments; no shell', 'invalid pipeline transform, no command specified'),
  errCmd: mapped(texts, 'Runs after each failed try; when it succeeds the datum counts as recovered'),
  env: mapped(map, 'Variables of the command'),
  secrets: mapped(listOf(group(secretFields)), 'Secrets, as files or variables'),
  imagePullSecrets: kept(texts, 'Secrets that Kubernetes pulls the image with'),
  stdin: mapped(texts, 'Lines for the standard input of the command'),
  errStdin: mapped(texts, 'Lines for the standard input of `errCmd`'),
  acceptReturnCode: mapped(listOf(whole(0, 255)), 'Exit codes beside 0 that mean success'),
  debug: refused(unusedInPachyderm),
  user: mapped(text, "The user that runs the command; the image's user by default"),
  workingDir: mapped(text, 'The working folder of the command; that of the image by default'),
  dockerfile: refused(unusedInPachyderm),
  memoryVolume: mapped(flag, 'A scratch folder in memory'),
  datumBatching: mapped(flag, 'The command stays up and asks for datums with `next datum`'),
  build: refused(goneSince2('`dev.code` puts code into the container')),
};

const resourceFields = {
  cpu: mapped(cores, 'Processor cores: 1.5 or `500m`'),
  memory: mapped(bytes, 'Memory: `256M`, `1Gi`'),
  gpu: mapped(
    group({
      type: mapped(text, "The kind: only NVIDIA's (`nvidia.com/gpu`)"),
      number: needed(whole(0, 1024), 'How many', 'gpu must specify a number'),
    }),
    'Graphics processors',
  ),
  disk: kept(bytes, 'Disk of the container, and of the files of a datum'),
};

const requestFields = {
  cpu: kept(cores, 'Processor cores'),
  memory: kept(bytes, 'Memory'),
  gpu: kept(
    group({
      type: kept(text, "The kind: only NVIDIA's (`nvidia.com/gpu`)"),
      number: kept(whole(0, 1024), 'How many: as in `resource_limits`'),
    }),
    'Graphics processors; they count as those of `resource_limits` do',
  ),
  disk: kept(bytes, 'Disk'),
};

const sidecarFields = {
  cpu: kept(cores, 'Processor cores'),
  memory: kept(bytes, 'Memory'),
  gpu: kept(
    group({ type: kept(text, 'The kind'), number: kept(whole(0), 'How many') }),
    'Graphics processors; this container never gets any',
  ),
  disk: kept(bytes, 'Disk'),
};

const tolerationFields = {
  key: kept(text, 'The taint'),
  operator: kept(oneOf('EXISTS', 'EQUAL', 'Exists', 'Equal'), 'Whether the value counts; `EQUAL` by default'),
  value: kept(text, "The taint's value"),
  effect: kept(
    oneOf(
      'ALL_EFFECTS',
      'NO_SCHEDULE',
      'PREFER_NO_SCHEDULE',
      'NO_EXECUTE',
      'NoSchedule',
      'PreferNoSchedule',
      'NoExecute',
    ),
    'The effect of the taint that pods tolerate; all by default',
  ),
  tolerationSeconds: kept(whole(0), 'How long pods tolerate it'),
};

const devFields = {
  code: mapped(
    listOf(
      group({
        from: needed(text, "A folder or file, relative to the spec's folder", 'it must say where the code is'),
        to: needed(text, 'The absolute path where the command sees it', 'it must say where the command sees the code'),
      }),
    ),
    "Code that is added to the image's; if it changes, every datum runs again",
  ),
  build: mapped(
    group({
      context: mapped(text, "The folder with the image's files, relative to the spec's folder; `.` by default"),
      dockerfile: mapped(text, 'The Dockerfile, relative to `context`; `Dockerfile` by default'),
    }),
    'Builds the image here when its files change, instead of using `transform.image`; for the docker executor',
  ),
  limits: mapped(
    group({
      output: mapped(bytes, 'Most bytes that one datum may write to /pfs/out; 100 GB by default'),
      log: mapped(bytes, "Bytes of one datum's log; 16 MB by default"),
      processes: mapped(whole(1), 'Most processes of one command; 1024 by default'),
    }),
    'Limits of one command',
  ),
  network: mapped(oneOf('default', 'none'), '`none`: the command has no network'),
  timezone: mapped(text, 'The time zone of cron expressions, such as Europe/Berlin; UTC by default'),
  missedTicks: mapped(
    oneOf('one', 'all', 'none'),
    'Which ticks of cron inputs are made up for after a time without an engine: the last `one` (by default), `all` or `none`',
  ),
  keep: mapped(
    group({
      jobs: mapped(whole(1), 'So many jobs of the pipeline stay on each branch, the newest ones; all by default'),
      ticks: mapped(
        whole(1),
        'So many ticks stay in the repo of each cron input, the newest ones; all by default. What a datum made of a tick that goes leaves the output',
      ),
    }),
    'What stays of what the pipeline has done',
  ),
  hide: mapped(texts, 'Files and folders of this machine that the process executor hides too; `~` is your home'),
  expect: mapped(
    group({
      notEmpty: mapped(flag, 'The output has at least one file'),
      minFiles: mapped(whole(1), 'The output has at least so many files'),
      maxShrink: mapped(
        percent,
        'The share of its files, and of its bytes, that the output may lose against the last success of its branch',
      ),
      check: mapped(
        texts,
        'Program and arguments, run as the pipeline’s command is, that sees the new output at /pfs/NAME, where NAME is that of the pipeline. Another exit code than 0 rejects the output',
      ),
      checkTimeout: mapped(
        duration,
        'The time limit of `check`; `datum_timeout` by default, or 1h where that is not set',
      ),
    }),
    'What must hold of the output before the branch moves to it. If not, the job is `rejected`, and the branch stays',
  ),
  onDatumFailure: mapped(
    oneOf('fail', 'skip'),
    '`skip`: a job succeeds without the datums that failed, unless all did, and its commit is marked as incomplete; `fail` by default',
  ),
  retry: mapped(
    group({
      tries: mapped(whole(1, 100), 'How often a job is run before it stays failed; 3 by default'),
      pause: mapped(duration, 'The pause before the second try, which doubles with each further one; 30s by default'),
    }),
    'An engine that stays up runs a job that failed again, with the same inputs',
  ),
  pod: kept(
    group({
      serviceAccount: kept(text, 'The service account of the pods; no container gets a token of it'),
      terminationGrace: kept(duration, 'The time that pods have to end; 30s by default'),
      runtimeClass: kept(text, 'The runtime class of the pods'),
    }),
    'More of the pods',
  ),
  trust: mapped(
    oneOf('all', 'recompute'),
    '`recompute`: a promoted pipeline uses only results that its place has made, or made again to the same, which promotion does for all that are there; `all` by default',
  ),
  verify: mapped(
    whole(0),
    'Promotion makes so many results again that were made elsewhere, and moves the pipeline if they are the same; 0 by default',
  ),
  deadline: mapped(
    duration,
    'How long after new input its results must be there: `90m`, `4h`. The hooks of an engine tell when they are late',
  ),
};

export const specFields = {
  pipeline: needed(
    group({
      project: mapped(text, 'The project; it must be the one that the pipeline is created in'),
      name: needed(text, 'The name of the pipeline and of the repo of its results', 'pipeline must specify a name'),
    }),
    'Name and project of the pipeline',
    'invalid pipeline spec: it has no pipeline name',
  ),
  description: mapped(text, 'A description for people'),
  transform: needed(group(transformFields), 'What the pipeline runs', 'pipeline must specify a transform'),
  input: needed(group(inputFields), 'What the pipeline reads', 'no input set'),
  parallelismSpec: mapped(
    group({
      constant: mapped(whole(1), 'Workers; 1 by default'),
      coefficient: refused(goneSince2('give the number of workers as `constant`')),
      strategy: refused(goneSince2('give the number of workers as `constant`, and leave this out')),
    }),
    'How many datums run at a time',
  ),
  datumSetSpec: kept(
    group({
      number: kept(whole(0), 'Datums in a set'),
      sizeBytes: kept(whole(0), 'Bytes of inputs in a set'),
      perWorker: kept(whole(0), 'Sets for each worker'),
    }),
    'How many datums a pod takes at a time; here each datum is run and stored by itself',
  ),
  datumTimeout: mapped(duration, 'The time limit of each try of a datum: `10m`, `1h30m`'),
  jobTimeout: mapped(duration, 'The time limit of a whole job'),
  datumTries: mapped(whole(1), 'How often a datum is tried before it fails; 3 by default'),
  reprocessSpec: mapped(
    oneOf('until_success', 'every_job'),
    '`every_job`: nothing is skipped; `until_success` by default',
  ),
  salt: mapped(text, 'If this text changes, every datum runs again'),
  outputBranch: mapped(text, 'The branch of the results; `master` by default'),
  resourceRequests: kept(group(requestFields), 'Resources that a cluster reserves for a worker'),
  resourceLimits: mapped(group(resourceFields), 'Resources that a worker may use; enforced with Docker'),
  sidecarResourceRequests: kept(group(sidecarFields), 'Resources that are reserved for the storage container of a pod'),
  sidecarResourceLimits: kept(group(sidecarFields), 'Resources that the storage container of a pod may use'),
  autoscaling: kept(flag, 'Run pods only while there is work; here they always do'),
  maximumExpectedUptime: kept(
    duration,
    'The longest time that an autoscaling pipeline should stay up; here its pods end with each job',
  ),
  schedulingSpec: kept(
    group({
      nodeSelector: kept(map, 'Labels of the nodes to run on'),
      priorityClassName: kept(text, 'Priority of the pods'),
    }),
    'Where pods run',
  ),
  tolerations: kept(listOf(group(tolerationFields)), 'Taints of nodes that pods tolerate'),
  podSpec: kept(json('object'), 'A merge patch (RFC 7396) for the spec of the pods'),
  podPatch: kept(
    json('list'),
    'A patch (RFC 6902) for the spec of the pods, whose first container is that of the command. What pachmount needs itself it can’t change',
  ),
  metadata: kept(
    group({ annotations: kept(map, 'Annotations'), labels: kept(map, 'Labels') }),
    'Annotations and labels of the pods',
  ),
  egress: refused('it sends results out of the store after each job, which this version does not do'),
  s3Out: refused(needsGateway),
  service: refused(needsEngine),
  spout: refused(needsEngine),
  standby: refused(goneSince2('use `autoscaling` instead')),
  scaleDownThreshold: refused(goneSince2('use `autoscaling` instead')),
  enableStats: refused(
    goneSince2('they are always kept; leave it out, and see `pach inspect datum` and `pach profile`'),
  ),
  inputs: refused(goneSince2('write `input`, with `cross` around several')),
  resourceSpec: refused(goneSince2('write `resource_requests` and `resource_limits`')),
  chunkSpec: refused(goneSince2('write `datum_set_spec`')),
  maxQueueSize: refused(goneSince2('each worker takes datum after datum; leave it out')),
  hashtreeSpec: refused(goneSince2('it has no effect any more; leave it out')),
  cacheSize: refused(goneSince2("the cache is the machine's; leave it out, `pachmount --cache-size` says how large")),
  incremental: refused(
    goneSince2(
      'only changed datums are computed, and the command does not see its earlier output; leave it out if the command does not need that',
    ),
  ),
  batch: refused(goneSince2('leave it out, `pach run pipeline` computes what changed')),
  tfJob: refused('Pachyderm does not support it either'),
  determined: refused('it needs a Determined cluster, which this version does not support'),
  update: refused('it is no part of a spec: `pach update pipeline` asks for it'),
  reprocess: refused('it is no part of a spec: `pach update pipeline --reprocess` asks for it'),
  dryRun: refused('it is no part of a spec: `pach create pipeline --dry-run` asks for it'),
  specCommit: refused('it is no part of a spec: Pachyderm writes it down itself'),
  dev: mapped(group(devFields), 'Fields that Pachyderm does not have'),
};

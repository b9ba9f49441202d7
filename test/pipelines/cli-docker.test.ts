/**
 * The command line with containers, where they differ from commands on this machine.
 */
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { linesOf, PipelinePlace } from './cli-world.ts';

test.skipIf(process.getuid?.() !== 0)('containers run as the image says, and nothing of them stays', async () => {
  const engine = await dockerForTests();
  const image = await busyboxImage(engine, { changes: ['USER tester', 'WORKDIR /tmp', 'ENV COLOUR=blue'] });
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must(`head -c 2000000 /dev/zero | tr '\\0' x > big; pach put file in@master:/big -f big`);
  // A path longer than that of a socket may be.
  const home = `home/${'l'.repeat(90)}/${'m'.repeat(200)}`;
  await here.must(`mkdir ${dirname(home)}`);
  const run = async (name: string, flags = ''): ReturnType<PipelinePlace['shell']> => {
    const settings = `PACH_STORE="$PACH_HOME/store" PACH_HOME=$PWD/${home} DOCKER_HOST=${engine.host}`;
    return here.shell(`${settings} pach run pipeline ${name} --executor docker ${flags} -o json`);
  };
  const transform = { image };
  const script = `env; echo cwd=$(pwd) me=$(id -un); touch /pfs/in/x 2>/dev/null || echo denied
    cp $in /pfs/out/; echo more >> /pfs/out/$(basename $in); ln -s $in /pfs/out/link-$(basename $in)`;
  await here.spec('p', script, { transform });
  const first = await run('-f p.json');
  expect(JSON.parse(first.stdout)).toMatchObject({ state: 'success', datums: { processed: 2 }, output: { added: 4 } });
  expect(first.stderr).not.toContain('in its container');
  const [datum] = await here.datums('p');
  const log = linesOf<{ line: string }>(await here.must(`pach logs -p p --datum ${datum?.id} -o json`));
  const lines = log.map(({ line }) => line);
  expect(lines).toEqual(
    expect.arrayContaining(['COLOUR=blue', 'HOME=/home/tester', 'cwd=/tmp me=tester', 'denied', 'PPS_PIPELINE_NAME=p']),
  );
  // Large inputs come from a mount, and look the same.
  expect(await here.must('pach get file p@master:/big | tail -c 6; pach get file p@master:/a')).toBe('xmore\n1more\n');
  // What is exported computes the same in a container of the image.
  const again = await here.must(`pach explain p@master:/a --export again && DOCKER_HOST=${engine.host} ./again/run.sh`);
  expect(again).toContain('the same: sha256 ');
  expect(JSON.parse((await run('p')).stdout)).toMatchObject({ datums: { processed: 0, skipped: 2 } });

  // Another image under the same name is another image.
  const other = await busyboxImage(engine, { changes: ['USER tester', 'ENV COLOUR=red'] });
  const [repo = '', tag = 'latest'] = image.split(':');
  await engine.docker.getImage(other).tag({ repo, tag });
  expect(JSON.parse((await run('p')).stdout)).toMatchObject({ datums: { processed: 2 } });
  expect(await here.must(`pach why p ${datum?.id}`)).toMatch(/changed since job [0-9a-f]{32}: image\n$/);

  await here.spec('lost', 'true', { transform: { image: 'pach-test.invalid/no-such:1' } });
  expect(await run('-f lost.json')).toMatchObject({ code: 3, stderr: expect.stringContaining('try: docker pull') });
  await here.spec('greedy', 'head -c 200000000 /dev/zero | tail', { transform, resource_limits: { memory: '40M' } });
  expect((await run('-f greedy.json')).stderr).toContain('the command ran out of memory');
  await here.spec('gpu', 'true', { transform, resource_limits: { gpu: { type: 'nvidia.com/gpu', number: 1 } } });
  expect((await run('-f gpu.json')).stderr).toContain('it asks for 1 GPU');
  await here.spec('none', 'nope', { transform: { image, cmd: ['nope'] } });
  expect((await run('-f none.json')).stderr).toContain('there is no program nope');
  const absent = await here.shell('DOCKER_HOST=unix:///nowhere pach run pipeline p --executor docker');
  expect(absent).toMatchObject({ code: 5, stderr: expect.stringContaining('it does not answer') });
  expect(await here.must(`find ${home}/run -mindepth 1`)).toBe('');
});

test.skipIf(process.getuid?.() !== 0)(
  'what a datum leaves in its container is said once, and no other datum finds it',
  async () => {
    const engine = await dockerForTests();
    const image = await busyboxImage(engine);
    await using here = await PipelinePlace.make({ a: '1', b: '2', c: '3' });
    const script = 'mkdir -p /var; cp /var/leak /pfs/out/ || cp $in /pfs/out/; cp $in /var/leak';
    await here.spec('leaky', script, { transform: { image } });
    const since = Math.floor(Date.now() / 1000) - 1;
    const ran = await here.shell(
      `DOCKER_HOST=${engine.host} pach run pipeline -f leaky.json --executor docker --workers 1`,
    );
    expect(ran.code).toBe(0);
    expect(ran.stderr.match(/changed .* in its container/g)).toEqual(['changed /var/leak in its container']);
    expect(ran.stderr).toMatch(
      /worker leaky-0: datum [0-9a-f]{16} changed .* gets a new container.* Write to \/tmp or \/pfs\/out to avoid this/,
    );
    expect(await here.must('pach list file leaky@master')).not.toContain('leak');
    const events = await engine.docker.getEvents({
      since,
      until: Math.floor(Date.now() / 1000) + 1,
      filters: { label: ['dev.pachmount.worker=leaky-0'], event: ['start'] },
    });
    let starts = '';
    for await (const piece of events) starts += String(piece);
    expect(starts.match(/"status":"start"/g)).toHaveLength(3);
  },
);

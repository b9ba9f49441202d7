/**
 * Workers of a store pool that run containers, and machines that would compute something else.
 */
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { PipelinePlace } from '../pipelines/cli-world.ts';

test.skipIf(process.getuid?.() !== 0)(
  'workers run a job in containers, where their image is the engine’s',
  async () => {
    const engine = await dockerForTests();
    const image = await busyboxImage(engine);
    await using here = await PipelinePlace.make({ a: '1', b: '2' });
    // Large enough for a mount.
    await here.must(`head -c 2000000 /dev/zero | tr '\\0' x > big; pach put file in@master:/big -f big`);
    const script = 'echo $TOKEN | md5sum; cp $in /pfs/out/';
    const secrets = [{ name: 's', key: 'token', env_var: 'TOKEN' }];
    for (const name of ['p', 'q']) {
      await here.spec(name, script, { transform: { image, secrets } });
      await here.must(`pach create pipeline -f ${name}.json`);
    }
    // Another home is another machine as far as secrets go.
    await here.must(`mkdir -p there/s other; printf 'of the worker' > there/s/token`);
    const settings = `export DOCKER_HOST=${engine.host}`;
    const local = `${settings}; pach run pipeline q --executor docker --secrets-from dir:there`;
    await here.must(local);
    const elsewhere = `${settings}; export PACH_STORE="$PACH_HOME/store"
    PACH_HOME=$PWD/other pach worker 2> refused & refused=$!
    pach run pipeline p --executor docker --pool store 2> told & run=$!
    until grep -q 'secret s' refused; do sleep 0.1; done
    kill $refused; wait $refused
    PACH_HOME=$PWD/other pach worker --secrets-from dir:there & worker=$!
    wait $run; ended=$?
    kill $worker; wait $worker; exit $ended`;
    await here.must(elsewhere);
    expect(await here.must('cat refused')).toContain('this machine does not have it');
    expect(await here.must('cat told')).toContain('this machine does not have it');
    const files = (name: string) =>
      here.must(`pach list file ${name}@master -r -o json | sed 's/"modified":"[^"]*"//'`);
    expect(await files('p')).toBe(await files('q'));
    expect(await here.must('pach logs -p p | sort')).toBe(await here.must('pach logs -p q | sort'));
    expect(await here.must('find other -path "*/run/*" -o -path "*/logs/*"')).toBe('');
  },
);

/**
 * What commands see and what is made of what they leave, on this machine.
 */
import { expect, test } from 'vitest';
import { credentialsOf } from '../../src/app/credentials.ts';
import { linesOf, PipelinePlace, type RunLine } from './cli-world.ts';

interface FileLine {
  readonly path: string;
  readonly kind: string;
  readonly bytes: number;
  readonly executable: boolean;
  readonly target?: string;
}

const nested = { one: '1', 'sub/two': '22', 'sub/deep/x': 'x' };
const whole = { input: { pfs: { repo: 'in', glob: '/' } } };

test.each(['root', 'user'] as const)('variables, folders and rights are those of the contract (%s)', async (who) => {
  await using here = await PipelinePlace.make({ a: '1' }, who);
  await here.must(`head -c 2000000 /dev/zero | tr '\\0' x > big; pach put file in@master:/big -f big`);
  const script = `
    env; echo cwd=$(pwd) me=$(id -u) stdin=$(cat)
    for f in /pfs/new /pfs/in/new $in; do (echo x > $f) 2>/dev/null || echo denied $f; done
    cp $in /pfs/out/; echo more >> /pfs/out/$(basename $in)
    stat -c 'mode %a %n' $in
    ls /pfs; cat $OTHER/*; true`;
  const other = (await here.must('mktemp -d -p /var/tmp')).trim();
  await here.must(`echo key > ${other}/key; echo seen > ${other}/seen`);
  const env = { MODE: 'a b', PACH_JOB_ID: 'mine', OTHER: other };
  await here.spec('p', script, { transform: { env } });
  const keys = `AWS_SECRET_ACCESS_KEY=key AWS_SHARED_CREDENTIALS_FILE=${other}/key`;
  const { job } = JSON.parse(await here.must(`${keys} pach run pipeline -f p.json -o json; rm -r ${other}`)) as RunLine;
  const datums = await here.datums(job);
  for (const { id, files } of datums) {
    const path = `/pfs/in${files[0]?.path}`;
    const log = (await here.must(`pach logs -j ${job} --datum ${id} -o json`)).trim();
    const lines = linesOf<{ line: string }>(log).map(({ line }) => line);
    const commit = JSON.parse(await here.must('pach inspect commit in@master -o json')) as { commit: string };
    expect(lines).toEqual(
      expect.arrayContaining([
        'MODE=a b',
        `in=${path}`,
        `in_COMMIT=${commit.commit}`,
        `PACH_DATUM_ID=${id}`,
        `PACH_JOB_ID=${job}`,
        `PACH_OUTPUT_COMMIT_ID=${job}`,
        'PPS_PIPELINE_NAME=p',
        'PPS_PROJECT_NAME=default',
        `HOME=${here.place.dir}/home`,
        `cwd=/ me=${who === 'root' ? 0 : 65534} stdin=`,
        'denied /pfs/new',
        'denied /pfs/in/new',
        `denied ${path}`,
        `mode 644 ${path}`,
        'in',
        'out',
        'seen',
      ]),
    );
    expect(log).not.toContain('AWS_SECRET');
    expect(lines).not.toContain('key');
  }
  expect(datums).toHaveLength(2);
  // The copy of a large input may be written to as that of a small one.
  expect(await here.read(`p@${job}:/a`)).toBe('1more\n');
  expect((await here.read(`p@${job}:/big`)).length).toBe(2_000_005);
});

test('what lies in /pfs/out is stored as it is, and links are never followed', async () => {
  await using here = await PipelinePlace.make(nested);
  await here.must(`cd put-*; chmod +x sub/two; ln -s sub/two hop; ln -s ../hop sub/hop; ln -s loop loop
    pach put file in@master:/ -r -f ./`);
  const script = `cd /pfs/out
    mkdir -p a/b/c empty-folder; echo 1 > a/b/c/f; ln a/b/c/f a/hard; mv a/b/c/f a/b/renamed
    : > empty; echo '#!/bin/sh' > run.sh; chmod 700 run.sh
    printf x > "$(printf 'bad\\377name')"; printf x > 'name with space'; printf x > é
    ln -s /pfs/in/sub/two z-two; ln -s ../in/one to-one; ln -s /pfs/in/sub folder; ln -s /pfs/in all
    ln -s /etc/shadow shadow; ln -s a/b/renamed inner; ln -s nowhere dangling; ln -s /pfs/in/none none
    ln -s /pfs/in/sub/hop hops; ln -s /pfs/in/loop loop; ln -s /pfs/in/$(printf %0300d 0) long
    ln -s /pfs/out/a/b/renamed own; ln -s /pfs/out/run.sh a/own; ln -s //pfs/./out/a/../run.sh dots
    ln -s /pfs/out root; ln -s /pfs/out a/b/root; ln -s /pfs/in/../out/run.sh round; ln -s ../run.sh a/up
    ln -s ../../../pfs/out/run.sh a/climbs; ln -s ../../../etc/hosts a/far; ln -s a own-to-a; ln -s /pfs/out/own-to-a/../x later`;
  await here.spec('p', script, whole);
  const { lines: ran, stderr } = await here.run('-f p.json');
  const lines = linesOf<FileLine>(await here.must('pach list file p@master -r -o json'));
  const files = lines.filter(({ kind }) => kind !== 'dir');
  const shown = files.map(({ path, kind, bytes, executable, target }) => {
    return [path, target === undefined ? `${kind} ${bytes}${executable ? ' x' : ''}` : `-> ${target}`];
  });
  expect(Object.fromEntries(shown)).toEqual({
    '/a/b/renamed': 'file 2',
    '/a/b/root': '-> ../..',
    '/a/climbs': '-> ../run.sh',
    '/a/far': '-> ../../../etc/hosts',
    '/a/hard': 'file 2',
    '/a/own': '-> ../run.sh',
    '/a/up': '-> ../run.sh',
    '/all/hop': '-> sub/two',
    '/all/loop': '-> loop',
    '/all/one': 'file 1',
    '/all/sub/deep/x': 'file 1',
    '/all/sub/hop': '-> ../hop',
    '/all/sub/two': 'file 2 x',
    '/bad\udcffname': 'file 1',
    '/dangling': '-> nowhere',
    '/dots': '-> a/../run.sh',
    '/empty': 'file 0',
    '/folder/deep/x': 'file 1',
    '/folder/hop': '-> ../hop',
    '/folder/two': 'file 2 x',
    '/hops': 'file 2 x',
    '/inner': '-> a/b/renamed',
    '/later': '-> own-to-a/../x',
    '/long': `-> /pfs/in/${'0'.repeat(300)}`,
    '/loop': '-> loop',
    '/name with space': 'file 1',
    '/none': '-> /pfs/in/none',
    '/own': '-> a/b/renamed',
    '/own-to-a': '-> a',
    '/root': '-> .',
    '/round': '-> run.sh',
    '/run.sh': 'file 10 x',
    '/shadow': '-> /etc/shadow',
    '/to-one': 'file 1',
    '/z-two': 'file 2 x',
    '/é': 'file 1',
  });
  expect(lines.filter(({ path }) => path === '/empty-folder')).toMatchObject([{ kind: 'dir' }]);
  // Two lead out of /pfs, which is said: by the job, and in the datum's log.
  expect(ran).toMatchObject([{ state: 'success', outside: 2 }]);
  const said = /2 links lead out of \/pfs, for example \/pfs\/out\/(a\/far|shadow) -> .*; the targets are not stored/;
  expect((await here.must('pach logs -p p')).trim()).toMatch(said);
  expect(stderr).toMatch(said);
});

test.each(['root', 'user'] as const)('each datum finds /pfs/out as the first one did (%s)', async (who) => {
  await using here = await PipelinePlace.make({ a: '1', b: '2' }, who);
  const script = `stat -c '%a %u %y' /pfs/out /dev/pts/ptmx; getfattr -d -m - /pfs/out; lsattr -d /pfs/out
    setfattr -n user.leak -v told /pfs/out; chattr +dA /pfs/out; chmod g+s,o-rwx /pfs/out
    test $(id -u) != 0 || chown 1 /pfs/out; touch -d 2001-02-03 /pfs/out /dev/pts/ptmx
    if chmod $(stat -c %a /dev/null) /dev/null 2>/dev/null; then echo leak; fi; echo lost > /dev/null || echo leak`;
  await here.spec('p', script);
  const { job } = await here.ran('-f p.json --workers 1');
  const log = await here.must(`pach logs -j ${job}`);
  expect(log.match(/777 (0|65534) /gm)).toHaveLength(2);
  expect(log).not.toMatch(/leak|2001|-d|A-/);
});

test('an output that is a copy of its input is the same, links and empty folders included', async () => {
  await using here = await PipelinePlace.make(nested);
  await here.must('cd put-*; mkdir -p void/deeper sub/void; ln -s sub/two hop; pach put file in@master:/ -r -f ./');
  await here.spec('copy', 'cp -a /pfs/in/. /pfs/out/; test -d /pfs/in/void/deeper', whole);
  await here.spec('batched', 'pachctl next datum; cp -a /pfs/in/. /pfs/out/; pachctl next datum', {
    ...whole,
    transform: { datum_batching: true },
  });
  await here.spec('again', 'cp -a /pfs/copy/. /pfs/out/', { input: { pfs: { repo: 'copy', glob: '/', lazy: true } } });
  for (const name of ['copy', 'batched', 'again']) await here.ran(`-f ${name}.json`);
  const hash = async (repo: string): Promise<string> =>
    (JSON.parse(await here.must(`pach inspect commit ${repo}@master -o json`)) as { hash: string }).hash;
  const whatItWas = await hash('in');
  for (const repo of ['copy', 'batched', 'again']) expect(await hash(repo)).toBe(whatItWas);
  expect(await here.must('pach get file again@master:/ -r -o got -q && find got -type d -empty | sort')).toBe(
    'got/sub/void\ngot/void/deeper\n',
  );
});

test('a copy of a large input costs no new bytes, and large and small inputs look the same', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must('mkdir d; head -c 20000000 /dev/urandom > d/blob; for i in $(seq 100); do echo $i > d/f$i; done');
  await here.must('pach put file in@master:/d/ -r -f d/');
  const stored = async (): Promise<number> => Number(await here.must('du -sb "$PACH_HOME/store" | cut -f1'));
  const before = await stored();
  const input = { pfs: { repo: 'in', glob: '/d' } };
  await here.spec('copy', 'cp -r $in/. /pfs/out/; ln -s $in/blob /pfs/out/link', { input });
  await here.spec('lazy', 'cp -r $in/. /pfs/out/; ln -s $in/blob /pfs/out/link', {
    input: { pfs: { ...input.pfs, lazy: true } },
  });
  await here.spec('names', 'cat $in/* | wc -c; ls $in | wc -l; ln -s $in/blob /pfs/out/link', {
    input: { pfs: { ...input.pfs, empty_files: true } },
  });
  expect(await here.ran('-f copy.json')).toMatchObject({ output: { added: 102 } });
  expect(await here.ran('-f lazy.json')).toMatchObject({ output: { added: 102 } });
  expect(await here.ran('-f names.json')).toMatchObject({ output: { added: 1 } });
  expect((await stored()) - before).toBeLessThan(200_000);
  const hash = async (name: string): Promise<string> => {
    const [datum] = await here.datums(name);
    return (
      JSON.parse(await here.must(`pach inspect datum ${name} ${datum?.id} -o json`)) as { output: { hash: string } }
    ).output.hash;
  };
  expect(await hash('lazy')).toBe(await hash('copy'));
  expect(await here.must('pach logs -p names')).toMatch(/ 0\n.* 101\n/);
  expect(await here.must('pach get file names@master:/link -o link && cmp link d/blob && ls "$PACH_HOME/mounts"')).toBe(
    '',
  );
});

test('joins, groups, crosses and unions give commands what belongs together', async () => {
  await using here = await PipelinePlace.make({ '1.txt': 'l1', '2.txt': 'l2' });
  await here.must('pach create repo r');
  await here.put('r', { '1.csv': 'r1', '3.csv': 'r3' });
  const left = { pfs: { repo: 'in', name: 'l', glob: '/(*).txt', join_on: '$1', group_by: '$1' } };
  const right = { pfs: { repo: 'r', glob: '/(*).csv', join_on: '$1', group_by: '$1' } };
  const cat = 'cat $l $r > /pfs/out/';
  await here.spec('join', `${cat}$PACH_DATUM_l_JOIN_ON`, { input: { join: [left, right] } });
  const outer = { pfs: { ...left.pfs, outer_join: true } };
  await here.spec('outer', `${cat}$PACH_DATUM_l_JOIN_ON`, { input: { join: [outer, right] } });
  const group = { group: [left, right] };
  await here.spec('group', `${cat}$PACH_DATUM_l_GROUP_BY-$PACH_DATUM_r_GROUP_BY`, { input: group });
  await here.spec('cross', `${cat}$(basename $l)-$(basename $r)`, { input: { cross: [left, right] } });
  await here.spec('union', 'ls /pfs | tr "\\n" " "; cp $l $r /pfs/out/', { input: { union: [left, right] } });
  for (const name of ['join', 'outer', 'group', 'cross', 'union']) await here.ran(`-f ${name}.json`);
  expect(await here.files('join@master')).toEqual(['/1']);
  expect(await here.read('join@master:/1')).toBe('l1r1');
  expect(await here.files('outer@master')).toEqual(['/1', '/2']);
  expect(await here.files('group@master')).toEqual(['/-3', '/1-1', '/2-']);
  expect(await here.files('cross@master')).toEqual(['/1.txt-1.csv', '/1.txt-3.csv', '/2.txt-1.csv', '/2.txt-3.csv']);
  expect(await here.files('union@master')).toEqual(['/1.csv', '/1.txt', '/2.txt', '/3.csv']);
  expect(await here.must('pach logs -p union')).not.toContain('l out r');
});

test.each(['root', 'user'] as const)('no credentials are seen, wherever they are kept (%s)', async (who) => {
  await using here = await PipelinePlace.make({ a: '1' }, who);
  // Not in the place of the test: a command has a /tmp of its own.
  const home = (await here.must('mktemp -d -p /var/tmp')).trim();
  try {
    const named = { KUBECONFIG: `${home}/k/1:${home}/k/2`, NETRC: `${home}/n`, AWS_CONFIG_FILE: '/dev/null' };
    const places = credentialsOf(home, { ...named, XDG_CONFIG_HOME: `${home}/xdg` }).filter(
      (path) => path !== '/dev/null',
    );
    expect(places.length).toBeGreaterThan(50);
    const files = [...places, `${home}/mine`, `${home}/own/deep/x`].map((path, index) =>
      index % 2 ? path : `${path}/in`,
    );
    await here.must(files.map((path) => `mkdir -p "$(dirname ${path})"; echo hush > ${path}`).join('\n'));
    await here.must(`echo hush > ${home}/seen`);
    const script = `cd "$HOME" && grep -rl hush . > /pfs/out/seen; cat /etc/shadow /etc/ssh/ssh_host_*_key > /pfs/out/root 2>/dev/null; true`;
    await here.spec('p', script, { dev: { hide: ['~/mine', `${home}/own/deep`] } });
    const variables = Object.entries({ ...named, HOME: home, XDG_CONFIG_HOME: `${home}/xdg` });
    await here.must(`${variables.map(([name, value]) => `${name}=${value}`).join(' ')} pach run pipeline -f p.json`);
    expect(await here.read('p@master:/seen')).toBe('./seen\n');
    expect(await here.read('p@master:/root')).toBe('');
    // What is hidden may decide what a command does.
    await here.spec('p', script, { dev: { hide: ['~/mine'] } });
    expect(await here.ran('-f p.json')).toMatchObject({ datums: { processed: 1 } });
  } finally {
    await here.must(`rm -r ${home}`);
  }
});

test('a command may stay up and ask for its datums', async () => {
  await using here = await PipelinePlace.make({ '1': '1', '2': '2', '3': '3', '4': '4' });
  const loop = (body: string): string => `echo up; while e=$(next datum); do eval "$e"; ${body}; done`;
  const batching = { transform: { datum_batching: true } };
  await here.spec('p', loop('cp $in /pfs/out/; ls /pfs/in'), batching);
  expect(await here.ran('-f p.json')).toMatchObject({ datums: { processed: 4 }, output: { added: 4 } });
  // What comes before all datums is in the log of the first one.
  const log = async (name: string): Promise<string[]> =>
    linesOf<{ line: string }>(await here.must(`pach logs -p ${name} -o json`)).map(({ line }) => line);
  expect((await log('p')).toSorted()).toEqual(['1', '2', '3', '4', 'up']);
  await here.spec(
    'says',
    loop('test $(cat $in) != 3 || { next datum --error "no 3"; continue; }; cp $in /pfs/out/'),
    batching,
  );
  expect((await here.run('-f says.json')).lines).toMatchObject([{ datums: { processed: 3, failed: 1 } }]);
  expect(await log('says')).toEqual(['up']);
  await here.spec('dies', loop('test $(cat $in) != 3 || exit 5; cp $in /pfs/out/'), batching);
  const dies = await here.run('-f dies.json --workers 2');
  expect(dies.lines).toMatchObject([{ datums: { processed: 3, failed: 1 } }]);
  expect(dies.stderr).toContain('the command ended with exit code 5');
  await here.spec('mute', 'echo deaf', batching);
  const mute = await here.run('-f mute.json');
  expect(mute.code).toBe(1);
  expect(mute.stderr).toContain('the command ended with exit code 0, and never called next datum');
  expect(await log('mute')).toContain('deaf');
});

test('code, user, network and bounds are what the spec says', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must(`mkdir -p code/src; echo 'echo v1' > code/src/main.sh; echo k=1 > code/conf; cd code; git init -q .
    git remote add origin https://me:word@example.com/x.git; git add .
    git -c user.name=a -c user.email=a@b commit -q -m one`);
  const code = [
    { from: 'src', to: '/app' },
    { from: 'conf', to: '/etc/app/conf' },
  ];
  const script = `sh /app/main.sh; cat /etc/app/conf; touch /app/x 2>/dev/null || echo denied; id -un
    grep -c : /proc/net/dev; yes | head -c 3000000; cat $in`;
  const dev = { code, network: 'none', limits: { log: '1KB', processes: 40 } };
  await here.spec('p', script, { dev, transform: { user: 'nobody' } }, 'code');
  const { stdout } = await here.shell('umask 077; pach run pipeline -f code/p.json -o json');
  const { job } = JSON.parse(stdout) as { job: string };
  const log = linesOf<{ line: string }>(await here.must(`pach logs -j ${job} -o json`)).map(({ line }) => line);
  expect(log.slice(0, 6)).toEqual(['v1', 'k=1', 'denied', 'nobody', '1', 'y']);
  expect(log.at(-1)).toBe('[the log ends here: it is longer than 1000 bytes]');
  expect(JSON.parse(await here.must(`pach inspect job ${job} -o json`))).toMatchObject({
    code: expect.stringMatching(/^https:\/\/example\.com\/x\.git [0-9a-f]{40}( changed since)?$/),
  });
  expect(await here.ran('-f code/p.json')).toMatchObject({ datums: { skipped: 1 } });
  await here.must('echo "echo v2" > code/src/main.sh');
  // A version of the pipeline has its code.
  expect(await here.ran('p')).toMatchObject({ datums: { skipped: 1 } });
  expect(await here.ran('-f code/p.json')).toMatchObject({ datums: { processed: 1 } });

  await here.spec('bomb', 'f() { f | f & }; f; sleep 2; echo end', { dev: { limits: { processes: 30 } } });
  await here.run('-f bomb.json');
  expect(await here.must('pach logs -p bomb')).toContain('Cannot fork');
});

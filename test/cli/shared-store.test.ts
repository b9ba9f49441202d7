/**
 * A folder store that users of a group share, whatever their umasks, with protected_hardlinks as the
 * kernel has it: two real users, neither of whom is root.
 */
import { expect, test } from 'vitest';
import type { Check } from '../../src/store/check.ts';
import { isLong } from '../support/long.ts';
import { Place, type Result } from '../support/place.ts';

const group = 41100;
/** Users with a name, which fusermount3 wants, and that have groups of their own. */
const members = { ann: { id: 65534, group: 65534 }, bob: { id: 1, group: 1 } } as const;
type Member = keyof typeof members;

/** A folder of the group with a store in it, whose folder a member makes with `mode`, and members who run scripts. */
class Team implements AsyncDisposable {
  private readonly place: Place;

  private constructor(place: Place) {
    this.place = place;
  }

  static async make(): Promise<Team> {
    const place = await Place.make('root', { PACH_STORE: 'shared/store' });
    const homes = Object.entries(members).map(([name, { id }]) => `mkdir ${name}; chown ${id}:${id} ${name}`);
    await place.must(`chmod 755 .; mkdir shared; chgrp ${group} shared; chmod 2775 shared; ${homes.join('; ')}`);
    return new Team(place);
  }

  root(script: string): Promise<string> {
    return this.place.must(script);
  }

  run(who: Member, umask: string, script: string, groups: number = group): Promise<Result> {
    const { id, group: own } = members[who];
    const user = `setpriv --reuid=${id} --regid=${own} --groups=${groups}`;
    return this.place.run(
      `HOME=$PWD/${who} PACH_HOME=$PWD/${who}/home ${user} bash -c 'umask ${umask}; set -e; eval "$0"' '${script.replaceAll("'", String.raw`'\''`)}'`,
    );
  }

  async must(who: Member, umask: string, script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(who, umask, script);
    if (code !== 0) throw new Error(`${who} ${umask}: ${script}\nended with ${code}\n${stdout}\n${stderr}`);
    return stdout;
  }

  async rights(who: Member, groups: number = group): Promise<Check | undefined> {
    const { stdout } = await this.run(who, '022', 'pach doctor -o json || true', groups);
    const checks = stdout.split('\n').filter(Boolean);
    return checks.map((line) => JSON.parse(line) as Check).find(({ check }) => check === 'rights');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Mounts belong to those who made them.
    for (const who of ['ann', 'bob'] as const) await this.run(who, '022', 'pach unmount --all --lazy');
    await this.place[Symbol.asyncDispose]();
  }
}

const spec = JSON.stringify({
  pipeline: { name: 'up' },
  transform: { cmd: ['sh', '-c', 'tr a-z A-Z < $data > /pfs/out/$(basename $data)'] },
  input: { pfs: { repo: 'data', glob: '/*' } },
});

const orders = [
  ['022', '002'],
  ['002', '022'],
] as const;

test.each(isLong ? orders : orders.slice(0, 1))(
  'members with umask %s and %s put, mount, run, gc, purge and fsck in one store',
  async (first, second) => {
    await using team = await Team.make();
    await team.must('ann', first, 'mkdir shared/store; chmod g+rwx,o=rx shared/store; pach create repo data');
    await team.must('ann', first, 'echo a | pach put file data@master:/a -f -; head -c 2000000 /dev/urandom > ann/big');
    await team.must('ann', first, 'pach put file data@master:/big -f ann/big');
    await team.must('bob', second, 'pach get file data:/big | wc -c; echo b | pach put file data@master:/b -f -');
    await team.must('bob', second, 'head -c 2000000 /dev/urandom > bob/big; pach put file data@master:/big -f bob/big');
    await team.must('bob', second, `echo '${spec}' | pach run pipeline -f - >/dev/null`);
    await team.must('ann', first, 'echo c | pach put file data@master:/c -f -; pach run pipeline up; pach stats');
    expect(await team.must('bob', second, 'pach get file up:/c')).toBe('C\n');
    await team.must('bob', second, 'pach purge data:/big >/dev/null; pach gc --grace 0');
    await team.must('ann', first, 'pach delete file data@master:/b; pach delete pipeline up; pach gc --grace 0');
    await team.must(
      'bob',
      second,
      'pach create repo other; date | pach put file other@master:/d -f -; pach gc --grace 0',
    );
    for (const [who, umask] of [
      ['ann', first],
      ['bob', second],
    ] as const) {
      expect(await team.must(who, umask, 'pach fsck --read-data 100%')).toContain('0 errors, 0 warnings');
      const seen = `mkdir ${who}/m; pachmount data@master ${who}/m; cat ${who}/m/*/c; pach unmount ${who}/m`;
      expect(await team.must(who, umask, seen)).toMatch(/^c$/m);
      expect(await team.rights(who)).toMatchObject({ state: 'ok', value: `members of group ${group} can write` });
    }
    expect(await team.root(`find shared/store -type d ! -perm -2775 -o ! -group ${group} -o ! -perm -444`)).toBe('');
    expect(await team.root('find shared/store/.tmp -mindepth 1')).toBe('');
  },
  120_000,
);

test('without setgid members give what they make to the group', async () => {
  await using team = await Team.make();
  await team.root(`chmod 777 shared; chmod g-s shared`);
  await team.must('ann', '022', `mkdir shared/store; chgrp ${group} shared/store; chmod 770 shared/store`);
  const put = (who: Member) => `head -c 2000000 /dev/urandom | pach put file data@master:/${who} -f -`;
  await team.must('ann', '022', `pach create repo data; ${put('ann')}`);
  await team.must('bob', '077', `${put('bob')}; pach delete file data@master:/ann; pach gc --grace 0`);
  await team.must('ann', '077', `${put('ann')}; pach delete file data@master:/bob; pach gc --grace 0; pach fsck`);
  expect(await team.root(`find shared/store -type d ! -perm -770 -o ! -group ${group} -o ! -perm -440`)).toBe('');
  expect(await team.rights('ann')).toMatchObject({ state: 'warn' });
});

test('a store that the user named gets what parent and umask give; the default one is private', async () => {
  await using team = await Team.make();
  const mode = (path: string) => team.root(`stat -c '%a %g' ${path}`);
  await team.must('ann', '002', 'pach create repo data');
  expect(await mode('shared/store')).toBe(`2775 ${group}\n`);
  await team.must('ann', '022', 'PACH_STORE=shared/other pach create repo data');
  expect(await mode('shared/other')).toBe(`2755 ${group}\n`);
  await team.must('ann', '022', 'env -u PACH_STORE pach create repo data');
  expect(await mode('ann/home/store')).toBe('700 65534\n');
  const refused = await team.run('bob', '002', 'echo b | PACH_STORE=shared/other pach put file data@master:/b -f -');
  expect(refused).toMatchObject({ code: 1 });
  expect(refused.stderr).toContain('permission denied\ntry: ');
  const doctor = await team.run('bob', '002', 'PACH_STORE=shared/other pach doctor');
  expect(doctor.stdout).toContain('to share it with its group, its owner runs: chmod g+rwxs');
});

test('the doctor names what keeps members out, and its commands mend it', async () => {
  await using team = await Team.make();
  await team.must(
    'ann',
    '002',
    'pach create repo data; head -c 2000000 /dev/urandom | pach put file data@master:/a -f -',
  );
  await team.root('cd shared/store; chmod 755 projects/default; chmod 700 .tmp; chmod 1777 projects/default/data');
  await team.root(
    'cd shared/store; chgrp 65534 projects/default/head projects/default/meta; chmod 600 pachmount .lock',
  );
  const put = 'echo b | pach put file data@master:/b -f -';
  expect(await team.run('bob', '022', put)).toMatchObject({ code: 1 });
  const found = await team.rights('ann');
  expect(found).toMatchObject({ state: 'fail' });
  expect(found?.value).toContain('of another group: 2 (projects/default/head, projects/default/meta)');
  expect(found?.value).toMatch(/folders with fewer rights than the store’s own: \d+ \(projects\/default, /);
  expect(found?.value).toContain("files that other users of the store can't read: 2 (pachmount, .lock)");
  expect(found?.value).toContain('(projects/default/data)');
  await team.must('ann', '022', found?.advice?.replace(/^.* run: /, '') ?? 'false');
  expect(await team.rights('bob')).toMatchObject({ state: 'ok' });
  await team.must('bob', '022', `${put}; pach delete file data@master:/a; pach gc --grace 0`);
});

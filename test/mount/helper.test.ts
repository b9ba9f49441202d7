/**
 * mount(8) and /etc/fstab: by the real programs, with the helper that the set-up writes. All of it in
 * a mount namespace whose /sbin and /etc are copies, so that the machine's own stay as they are.
 */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { leaveMounts, Place, type Result } from '../support/place.ts';

const system = resolve(import.meta.dirname, '../../native/system.sh');

/** Two repos in the store of a place that root shares with nobody but its own commands. */
async function makePlace(): Promise<Place> {
  const place = await Place.make('root');
  await place.must(`pach create repo images; pach create repo labels; echo one | pach put file 'images@master:/a b/f,g' -f -
    printf '#!/bin/sh\\necho ran\\n' > run && chmod +x run && pach put file images@master -f run
    echo two | pach put file labels@master:/l -f -; echo three | pach put file labels@master:/l -f -`);
  return place;
}

/** Runs a script as root where the helper was just set up; `fstab` is its /etc/fstab. */
function inside(place: Place, script: string, fstab = ''): Promise<Result> {
  return place.run(
    `mkdir -p top && cat > script <<'END'
${script}
END
    cat > fstab <<'END'
${fstab}
END
    unshare -m bash -c '${leaveMounts}; set -e; mount -t tmpfs none top
      for each in sbin etc; do
        mkdir top/$each top/$each.work; at=$(readlink -f /$each)
        mount -t overlay -o lowerdir=$at,upperdir=top/$each,workdir=top/$each.work none $at
      done
      cp fstab /etc/fstab; rm -f /sbin/mount.fuse.pachmount; ${system} run 2> setup; set +e
      . ./script; code=$?; cd /; umount -q -l -a -t fuse.pachmount; exit $code'`,
  );
}

/** As at boot: mount(8) itself passes neither HOME nor PATH on. */
const boot = 'boot() { env -i "$@"; }; shown() { findmnt -rn -o SOURCE,FSTYPE,OPTIONS "$1" | sed s/,relatime//; }';
const placeOptions = (place: Place, more = ''): string => `home=${place.dir}/home/.pachmount${more}`;

test('mount -t fuse.pachmount mounts with the options that people know', async () => {
  await using place = await makePlace();
  const home = placeOptions(place);
  const script = `${boot}
    cat setup; ${system} run; boot mount -t fuse.pachmount images@master m -o ${home} || exit; shown m; ls m; cat 'm/images/a b/f,g'; m/images/run
    boot mount -t fuse.pachmount labels@master m -o ${home}; echo again $?; umount m; ls m
    boot mount -t fuse.pachmount 'images@master:/a b,labels@master^' m -v \\
      -o ro,allow_other,noexec,_netdev,nofail,x-systemd.automount,cache=$PWD/c\\\\,d,cache-size=1GB,cache-size=2GB,timeout=9s,store=$PWD/home/.pachmount/store,project=default,${home}
    shown m; cat m/labels/l m/images/*; ls -d c*; umount -a -t fuse.pachmount; findmnt -t fuse.pachmount
    boot mount -t fuse.pachmount pachmount m -o follow,${home}; shown m; ls m; pach mounts -o json | grep -c '"sources":\\[\\]'; umount m`;
  const { stdout, stderr, code } = await inside(place, script);
  const always = 'fuse.pachmount ro,nosuid,nodev';
  const owner = 'user_id=0,group_id=0,default_permissions';
  expect(stdout.replace(/^setup: writing \S+\/mount.fuse.pachmount, for .*\n/, 'written\n').split('\n')).toEqual([
    'written',
    `images@master ${always},${owner}`,
    'images',
    'one',
    'ran',
    'again 32',
    `${place.dir}/m`,
    `images@master:/a\\x20b,labels@master^ ${always},noexec,${owner},allow_other`,
    'two',
    'one',
    'c,d',
    `pachmount ${always},${owner}`,
    'images',
    'labels',
    '1',
    '',
  ]);
  expect(stderr).toMatch(/^pach: \S+\/m: something is already mounted there\ntry: .*\n$/);
  expect(code).toBe(0);
});

test("without our helper, libfuse's finds pachmount", async () => {
  await using place = await makePlace();
  const script = `${boot}
    rm /sbin/mount.fuse.pachmount; ln -s "$(command -v pachmount)" /sbin/
    boot mount -t fuse.pachmount images@master m -o noexec,nofail,${placeOptions(place)} || exit; shown m; umount m
    boot mount -t fuse.pachmount images@master m -o colour=red; echo $?`;
  const { stdout, stderr } = await inside(place, script);
  expect(stdout).toBe(
    'images@master fuse.pachmount ro,nosuid,nodev,noexec,user_id=0,group_id=0,default_permissions\n1\n',
  );
  expect(stderr).toMatch(/^mount.fuse.pachmount: colour=red: no such option\nhint: .*\n$/);
});

test('lines of /etc/fstab: mounted at boot, once, and by hand', async () => {
  await using place = await makePlace();
  const fstab = `images@master:/a\\040b ${place.dir}/with\\040blank fuse.pachmount ro,_netdev,nofail,x-systemd.requires=network-online.target,${placeOptions(place)} 0 0
labels@master^,images ${place.dir}/two fuse.pachmount defaults,store=${place.store} 0 0
labels ${place.dir}/by-hand fuse.pachmount noauto,store=${place.store} 0 0`;
  const script = `${boot}
    sed -i "s|^root:\\(.*\\):[^:]*:|root:\\1:$PWD/roots:|" /etc/passwd; mkdir roots
    boot mount -a && boot mount -a && findmnt -rno SOURCE,TARGET -t fuse.pachmount | sed "s|$PWD/||"
    cat 'with blank/images/f,g' two/labels/l; ls -A roots; umount two; boot mount -a; boot mount by-hand; cat two/labels/l by-hand/labels/l
    boot mount -o remount,ro by-hand; echo $?; cat by-hand/labels/l; umount by-hand two 'with blank'`;
  const { stdout, stderr } = await inside(place, script, fstab);
  expect(stdout.split('\n')).toEqual([
    String.raw`images@master:/a\x20b with\x20blank`,
    'labels@master^,images two',
    'one',
    'two',
    '.pachmount',
    'two',
    'three',
    '1',
    'three',
    '',
  ]);
  expect(stderr).toBe(
    `mount.fuse.pachmount: remount: a mount can not be changed\nhint: run umount ${place.dir}/by-hand, and mount it again\n`,
  );
});

test('a line with `user` is for an ordinary user to mount and unmount', async () => {
  await using place = await Place.make('root');
  const fstab = `images@master ${place.dir}/home/m fuse.pachmount noauto,user,home=${place.dir}/home/.pachmount 0 0`;
  const script = `${boot}; user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
    chown -R nobody . && user bash -c 'pach create repo images -q && echo x | pach put file images@master:/f -f - -q' >/dev/null
    boot setpriv --reuid=65534 --regid=65534 --clear-groups mount $PWD/home/m; shown home/m; user cat home/m/images/f
    user umount $PWD/home/m; echo $?; shown home/m`;
  const { stdout, stderr } = await inside(place, script, fstab);
  expect({ stdout, stderr }).toEqual({
    stdout:
      'images@master fuse.pachmount ro,nosuid,nodev,noexec,user_id=65534,group_id=65534,default_permissions\nx\n0\n',
    stderr: '',
  });
});

test('what is wrong is said, and nothing is mounted', async () => {
  await using place = await makePlace();
  const home = placeOptions(place);
  const cases: readonly (readonly [string, number, RegExp])[] = [
    [
      `images@master m -o colour=red,${home}`,
      1,
      /colour=red: no such option\nhint: one of allow_other, noexec, follow, store/,
    ],
    [`images@master m -o store=,${home}`, 1, /store=: it needs a value\nhint: store=VALUE/],
    [`images@master m -o ${home},store=here`, 1, /store=here: it is a relative path\nhint: store=\/FOLDER/],
    [`images@master m -o allow_other=1,${home}`, 1, /allow_other=1: no such option/],
    [`images@master m -o cache-size=lots,${home}`, 1, /pach: --cache-size lots/],
    [`images@nope m -o ${home}`, 32, /pach: images@nope: .*no branch or commit nope\ntry: /],
    [`images@master no/such/place -o ${home}`, 32, /pach: \S+: its parent folder does not exist\ntry: /],
    [`home m -o ${home}`, 1, /\/home: mount took the name of a repo for the folder of that name here\nhint: REPO@REF/],
    [`none m -o ${home}`, 1, /none: no source\nhint: write pachmount in its place/],
    [`images,--cache=x m -o ${home}`, 1, /--cache=x: no source/],
    [`images@master m -f -o ${home}`, 0, /^0\n$/],
    [`images@master m -s -f -o colour=red,${home}`, 0, /^0\n$/],
  ];
  const script = cases
    .map(([words]) => `echo "== $(mount -t fuse.pachmount ${words} 2>&1; echo $?)"`)
    .concat('findmnt -t fuse.pachmount; ls -d m 2>/dev/null')
    .join('\n');
  const { stdout } = await inside(place, script);
  const said = stdout.split('== ').slice(1);
  expect(cases.map(([words], at) => [words, said[at]?.split('\n').at(-2), said[at]])).toEqual(
    cases.map(([words, code, message]) => [words, String(code), expect.stringMatching(message)]),
  );
});

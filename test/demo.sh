#!/usr/bin/env bash
# The demo: puts real data under version control in two commits, mounts it and looks at it.
# Each command is printed as one would type it, and fails the demo when it does not do its work.
#
# Everything lies in .demo/ of the checkout (elsewhere when that is not ours to write), store and
# settings too: nothing of the user's is touched. The folder stays for a look around.
set -euo pipefail
export LC_ALL=C
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$checkout/.demo
if ! { mkdir -p "$dir" && [ -w "$dir" ]; } 2>/dev/null; then
  dir=${TMPDIR:-/tmp}/pachmount-demo-$(id -u)
fi
# Variables of the user's own must not lead the demo to another store.
unset "${!PACH_@}"
export PATH=$checkout/bin:$PATH PACH_HOME=$dir/home PACH_STORE=$dir/store

# The kernel writes blanks in paths as \040. Looking at the mountpoint itself could hang.
is_mounted() { grep -qF " ${dir// /\\040}/pfs fuse" /proc/self/mounts; }

# Never leaves a mount behind, not even one of an earlier run that was killed.
unmount_quietly() {
  cd /
  if ! is_mounted; then return; fi
  timeout 20 pach unmount "$dir/pfs" >/dev/null 2>&1 || true
  if is_mounted; then fusermount3 -u -z "$dir/pfs" 2>/dev/null || umount -l "$dir/pfs"; fi
}
trap unmount_quietly EXIT
trap 'exit 130' INT TERM

say() { printf '\n# %s\n' "$*"; }
# run EXPECTED COMMAND: prints and runs a command line; EXPECTED is its exit code.
run() {
  local expected=$1 status=0
  printf '$ %s\n' "$2"
  eval "$2" </dev/null || status=$?
  if [ "$status" -ne "$expected" ]; then
    echo "demo: that ended with $status instead of $expected" >&2
    exit 1
  fi
}

here=$(printf %q "$dir") there=$(printf %q "$checkout")
unmount_quietly
# What is removed is what an earlier demo made.
tag=.pachmount-demo
if [ -L "$dir" ] || { [ -e "$dir" ] && [ ! -O "$dir" ]; } ||
  { [ -n "$(ls -A "$dir" 2>/dev/null)" ] && ! [ -f "$dir/$tag" ] && ! [ -f "$dir/store/pachmount" ]; }; then
  echo "demo: $dir holds what no demo made, or is another user's: move it away" >&2
  exit 1
fi
rm -rf "$dir"
mkdir "$dir"
cd "$dir"
: > "$tag"

echo "# A survey of penguins (fixtures/demo/NOTICE.md) as it was after two seasons, and after the third"
run 0 "cd $here"
run 0 "export PATH=$there/bin:\$PATH PACH_HOME=\$PWD/home PACH_STORE=\$PWD/store"
run 0 "cp -r $there/fixtures/demo/penguins today"
run 0 'cp -r today yesterday && rm yesterday/raw/PAL0910.csv'
run 0 "grep -v ',2009\$' today/penguins.csv > yesterday/penguins.csv"

say 'Put both under version control: two commits'
run 0 'pach create repo data -d "Palmer penguins"'
run 0 'pach put file data@master -r -f yesterday/ -m "seasons 2007 and 2008"'
run 0 'pach put file data@master -r -f today/ -m "season 2009"'
run 0 'pach list commit data@master'

say 'Mount the newest commit and use it like any folder'
run 0 'pachmount data@master pfs'
run 0 'pach mounts'
run 0 'ls -lR pfs/data'
run 0 'head -n 4 pfs/data/penguins.csv'
run 0 'cut -d, -f1 pfs/data/penguins.csv | sort | uniq -c'

say "Yesterday's version is a path"
run 0 'ls -l pfs/data@master^/raw'
run 0 'wc -l pfs/data@master^/penguins.csv pfs/data/penguins.csv'
run 10 'pach diff file data@master data@master^'

say 'What is mounted is what was put'
run 0 'diff -r --no-dereference yesterday pfs/data@master^/'
run 0 'diff -r --no-dereference today pfs/data'

run 0 'pach unmount pfs'
if is_mounted; then
  echo "demo: $dir/pfs is still mounted" >&2
  exit 1
fi
say 'Two pipelines over it: a table for each season, and a report of all of them. First as it was yesterday'
run 0 "cat $there/fixtures/demo/pipelines/seasons.yaml"
run 0 "pach run pipeline -f $there/fixtures/demo/pipelines/ --input data@master^"
run 0 'pach get file report:/report.txt'

say 'Today there is one more season: of three datums only the new one runs'
run 0 'pach run pipeline report'
run 0 'pach list datum seasons'
run 0 'pach list job -p seasons -n 1 -o json | grep \"processed\":1,\"skipped\":2'
run 0 'pach get file report:/report.txt'
run 0 'pach list commit report -o json | head -n 1'
say "Done. All of it lies in $dir"

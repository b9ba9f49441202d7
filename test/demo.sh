#!/usr/bin/env bash
# The demo: in under a minute, what sets this program apart. Each command is printed as one would type
# it. The demo fails when a command does not end as it should, or does not print what it should.
#
# Everything lies in .demo/ of the checkout (elsewhere when that is not ours to write), store and
# settings too: nothing of the user's is touched. The folder stays for a look around. DEMO_DIR names
# another one.
set -euo pipefail
export LC_ALL=C
TIMEFORMAT='(%R s)'
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(realpath -m -s "${DEMO_DIR:-$checkout/.demo}")
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

. "$checkout/test/demo-lines.sh"

here=$(printf %q "$dir") there=$(printf %q "$checkout")
unmount_quietly
# What is removed is what an earlier demo made. Of root's demo in a user's checkout the folder is the user's (make demo).
tag=.pachmount-demo
is_ours() { [ -O "$1" ] || { [ "$EUID" -eq 0 ] && [ "$(stat -c %u "$1")" = "$(stat -c %u "$checkout")" ]; }; }
if [ -L "$dir" ] || { [ -e "$dir" ] && ! is_ours "$dir"; } ||
  { [ -n "$(ls -A "$dir" 2>/dev/null)" ] && ! [ -f "$dir/$tag" ] && ! [ -f "$dir/store/pachmount" ]; }; then
  fail "$dir holds what no demo made, or is another user's: move it away"
fi
rm -rf "$dir"
mkdir "$dir"
cd "$dir"
: > "$tag"

say "1. A file that is larger than this machine's memory opens at once"
memory=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
run 0 "cd $here"
run 0 "export PATH=$there/bin:\$PATH PACH_HOME=\$PWD/home PACH_STORE=\$PWD/store"
run 0 "truncate -s $((memory + memory / 4))K scan.raw   # memory: $((memory / 1024)) MiB; most of the file is a hole"
run 0 "head -c 1M /dev/urandom | dd of=scan.raw bs=1K seek=$((memory / 2)) conv=notrunc status=none"
run 0 'echo "the last line" >> scan.raw'
run 0 'pach create repo scans'
run 0 'pach put file scans@master -f scan.raw -o json' "\"bytes\":$(stat -c %s scan.raw),"
run 0 'pachmount scans@master pfs'
run 0 'ls -lh pfs/scans'
run 0 'time tail -c 14 pfs/scans/scan.raw' '^the last line$'
run 0 "cmp -n 1M -i $((memory / 2 * 1024)) scan.raw pfs/scans/scan.raw && echo the middle is the same"
run 0 'pach mounts -v | tr -s " " | grep -o "[0-9.]*[kM]*B by [0-9]* requests*"   # came from the store' '^[0-9.]+[kM]?B by'
fetched=$(pach mounts -v -o json | sed 's/.*"fetched":{"requests":[0-9]*,"bytes":\([0-9]*\).*/\1/')
[ "$fetched" -gt 0 ] && [ "$fetched" -lt 16000000 ] || fail "$fetched bytes were fetched"
run 0 'pach unmount pfs'

say '2. A second version costs only what changed: one more line at the front of 64 MiB'
run 0 'head -c 64M /dev/urandom > readings'
run 0 'pach create repo data'
run 0 'pach put file data@master -f readings -o json' '"newBytes":67108864,'
run 0 '{ echo "# calibrated"; cat readings; } > next && mv next readings'
run 0 'pach put file data@master -f readings -o json' '"newBytes":[0-9]{1,7},'
say "$(sed -E 's/.*"bytes":([0-9]+),"newBytes":([0-9]+).*/\2 of \1 bytes are new, the others are already stored/' printed)"

say '3. The past is a path'
run 0 'pachmount data@master pfs'
run 0 'head -n 1 pfs/data/readings' '^# calibrated$'
run 0 'ls -l pfs/data/readings pfs/data@master^/readings'
run 0 'tail -c +14 pfs/data/readings | cmp - pfs/data@master^/readings && echo the same except for that line'
run 10 'pach diff file data@master' '/readings'
run 0 'pach unmount pfs'
if is_mounted; then fail "$dir/pfs is still mounted"; fi

say '4. Two pipelines: a table for each season of a survey of penguins, and a report of all of them'
run 0 "cp -r $there/fixtures/demo/penguins/raw raw     # fixtures/demo/NOTICE.md says whose data it is"
run 0 'mkdir later && mv raw/PAL0910.csv later'
run 0 'pach create repo penguins'
run 0 'pach put file penguins@master -r -f raw'
run 0 "cat $there/fixtures/demo/pipelines/seasons.yaml"
run 0 "pach run pipeline -f $there/fixtures/demo/pipelines/" 'seasons: success: 2 datums: 2 processed'
say 'One more season: only the new one of three datums runs'
run 0 'pach put file penguins@master:/raw/ -f later/PAL0910.csv'
run 0 'pach run pipeline report' 'seasons: success: 3 datums: 1 processed, 2 skipped'
run 0 'pach list datum seasons' 'success  penguins:/raw/PAL0910.csv'
run 0 "pach why seasons \$(pach list datum seasons | awk '/success/ { print \$1 }')" 'success: it is new'
run 10 'pach diff file report@master' '/report.txt'
run 0 'pach get file report:/report.txt | tee report.txt' '^PAL0910 Gentoo [0-9]+ birds [0-9]{4} g$'
# Counted once more without pach: a report that is there and wrong must not pass.
birds=$(awk -F, 'FNR > 1 && $14 + 0 > 0' raw/*.csv later/*.csv | wc -l)
[ "$(awk '{ birds += $3 } END { print birds }' report.txt)" = "$birds" ] || fail "the report counts other than $birds birds"
[ "$(wc -l < report.txt)" -eq 9 ] || fail 'the report has not three species in three seasons'

cat <<END

Done, and checked: $birds weighed birds, in the report as in the data. All of it lies in $dir.
Three commands to try next, in a folder of your own (they store in ~/.pachmount):

  export PATH=$there/bin:\$PATH
  pach create repo mine && pach put file mine@master:/ -r -f ./
  pachmount mine@master ~/pfs && ls ~/pfs/mine
END

#!/usr/bin/env bash
# The demo of a cluster: from an empty folder over the loop of development to a pipeline that the cluster runs
# whenever there is something to run. Each command is printed as one would type it. It fails when one does not
# end as it should, or does not print what it should.
#
# `make demo-cluster` runs it in a cluster, with these:
#   KUBECONFIG           the cluster
#   DOCKER_HOST          an engine of this machine
#   DEMO_DIR             an empty folder
#   DEMO_CONTEXT         a context of it
#   DEMO_NAMESPACE       a namespace of the cluster
#   DEMO_STORE           a prefix in a bucket, s3://…, that pods reach as this machine does; AWS_… are its keys
#   DEMO_IMAGE           an image with a shell, of that engine
#   DEMO_WORKER_IMAGE    pach's own image, as the cluster names it
#   DEMO_LOAD            a command that gives the cluster an archive with an image
set -euo pipefail
export LC_ALL=C
TIMEFORMAT='(%R s)'
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=$(realpath "$DEMO_DIR")
unset "${!PACH_@}"
export PATH=$checkout/bin:$PATH PACH_HOME=$dir/home
. "$checkout/test/demo-lines.sh"
cd "$dir"

loop=
end_loop() {
  [ -z "$loop" ] || { kill -INT "$loop" && wait "$loop"; } 2>/dev/null || true
  loop=
}
trap end_loop EXIT
trap 'exit 130' INT TERM

# settled COUNT: the loop of development has done so many saves.
settled() {
  for _ in $(seq 600); do
    [ "$(grep -c '"event":"settled"' loop.json)" -lt "$1" ] || return 0
    kill -0 "$loop" 2>/dev/null || break
    sleep 0.2
  done
  cat loop.json told >&2
  fail "the loop has not settled $1 times"
}

say '1. On the laptop: data, and a pipeline'
run 0 'pach config set store "$PWD/store"'
run 0 'pach create repo data'
run 0 'mkdir words && for n in 1 2 3; do seq $n > words/$n; done'
run 0 'pach put file data@master:/ -r -f words/'
run 0 'pach init sizes' 'Wrote sizes.yaml'
say 'It begins with Python; here a shell does'
cat > sizes/sizes.yaml <<SPEC
pipeline: { name: sizes }
input:
  pfs: { repo: data, glob: "/*" }
transform: { image: "$DEMO_IMAGE", cmd: [sh, /app/main.sh] }
dev:
  code: [{ from: ./src, to: /app }]
SPEC
run 0 'cat sizes/sizes.yaml'
run 0 "echo 'for f in /pfs/data/*; do wc -c < \$f > /pfs/out/\${f##*/}; done' > sizes/src/main.sh"

say '2. The loop of development: each save runs what it touches'
echo '$ pach dev -f sizes/sizes.yaml --executor docker &'
pach dev -f sizes/sizes.yaml --executor docker -o json > loop.json 2> told </dev/null &
loop=$!
settled 1
run 0 'pach list job -p sizes' ' 3 \+ 0 / 3 +success'
run 0 "echo 'for f in /pfs/data/*; do wc -l < \$f > /pfs/out/\${f##*/}; done' > sizes/src/main.sh   # lines, not bytes"
settled 2
end_loop
echo '^C'
run 0 'pach list branch sizes' 'dev-'

say '3. What the cluster is to have: its pods do not reach a folder, so their store is a bucket'
there="--namespace $DEMO_NAMESPACE --worker-image $DEMO_WORKER_IMAGE --load '$DEMO_LOAD'"
context=$(printf %q "$DEMO_CONTEXT")
run 0 "pach context create demo --store '$DEMO_STORE' --kube-context $context $there"
cluster="--context $context $there"
run 10 "pach promote -f sizes/sizes.yaml --push --dry-run $cluster" 'data'

say '4. The move: data and results go along, so nothing is computed again'
run 0 "time pach promote -f sizes/sizes.yaml --push --yes $cluster" '0 computed, 3 as they were'
run 0 'pach config unset store; pach context use demo'
run 0 'pach get file sizes@master:/3' '^3$'

say '5. From now on the cluster runs it: new data is all it takes'
run 0 'seq 40 | pach put file data@master:/forty -f -'
run 0 'time pach wait commit sizes@master > /dev/null'
run 0 'pach get file sizes@master:/forty' '^40$'
run 0 'pach list job -p sizes' ' 1 \+ 3 / 4 +success'
run 0 'pach lineage sizes@master:/forty' 'data@'

say '6. And back'
run 0 'pach demote sizes'
run 0 'pach run pipeline sizes --executor docker' '4 skipped'
printf '\nDone, and checked.\n'

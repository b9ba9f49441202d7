#!/usr/bin/env bash
# The tests that need a Kubernetes cluster; run by `make test-kubernetes`. Arguments go to vitest.
#
# With KUBECONFIG set, its cluster is used. Then these say what else it can do, and tests that need it are skipped
# without:
#   PACH_TEST_CLUSTER   the folder of a cluster of cluster/kubernetes.sh, which loads images and gives pods the S3 server
#   PACH_TEST_LOAD      a command that gives the cluster's nodes an image archive: `minikube image load`
#   PACH_TEST_WORKER_IMAGE  the name of the worker image there, where it is another than that of dist/pachmount-image.tar
#   AWS_ENDPOINT_URL    with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: an S3 server that pods reach as this machine does
#
# Without KUBECONFIG a cluster of our own is brought up, and taken down afterwards with all that belongs to it. Its
# programs are built once and kept (K8S_BIN). Where that can't be done the reason is printed and all tests are skipped,
# which fails the run unless ALLOW_SKIP=1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

script=$PWD/test/kubernetes/cluster/kubernetes.sh
report=dist/test-kubernetes-report.json
summary=dist/test-kubernetes-summary
image=$PWD/dist/pachmount-image.tar
build_seconds_max=720
up_seconds_max=240
prefix=pachmount-test-kubernetes-
export K8S_BIN=${K8S_BIN:-${XDG_CACHE_HOME:-$HOME/.cache}/pachmount/kubernetes}

say() { printf 'test-kubernetes: %s\n' "$*" >&2; }

dir=
taken_down=0
take_down() {
  [[ -n $dir ]] || return 0
  "$script" down "$dir" >&2 || taken_down=1
  left=$("$script" left "$dir") || true
  if [[ -n $left ]]; then
    say "the cluster left: $left"
    taken_down=1
  fi
  rm -rf --one-file-system "$dir"
  dir=
}
trap take_down EXIT
trap 'exit 130' INT TERM

# Runs of before that were killed.
remove_leftovers() {
  local old
  for old in "${TMPDIR:-/tmp}/$prefix"*; do
    # Anybody may make such a folder, or a link to one.
    [[ -d $old && ! -L $old && -O $old && ! -e /proc/${old##*-} ]] || continue
    say "removing what a killed run left: $old"
    "$script" down "$old" >&2 && rm -rf --one-file-system "$old"
  done
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Ten ports in a row.
choose_port() {
  local first port
  for first in $(seq 16440 20 18000); do
    for port in $(seq "$first" $((first + 9))); do port_is_free "$port" || continue 2; done
    export K8S_PORT=$first
    return
  done
  return 1
}

# try WHAT SECONDS COMMAND...: when it fails, `reason` is WHAT and the last line that it printed.
reason=
try() {
  local what=$1 seconds=$2 log status=0
  shift 2
  log=$(mktemp)
  timeout "$seconds" "$@" >"$log" 2>&1 </dev/null || status=$?
  if [[ $status -ne 0 ]]; then
    cat "$log" >&2
    reason=$(grep '^kubernetes.sh: ' "$log" || grep . "$log" || true)
    reason="$what: $(tail -n 1 <<<"$reason" | sed 's/^kubernetes.sh: //')"
    [[ $status -ne 124 ]] || reason="$what: not done in $seconds seconds"
  fi
  rm -f "$log"
  return "$status"
}

# Fails with a reason where this machine can't.
bring_up() {
  if [[ $(id -u) -ne 0 ]]; then
    reason='a cluster of our own needs root; or set KUBECONFIG'
    return 1
  fi
  try 'packages are missing' 600 native/system.sh kubernetes || return 1
  remove_leftovers
  try 'this machine cannot have a node' 10 "$script" can || return 1
  try 'the programs of the cluster could not be built' "$build_seconds_max" "$script" build || return 1
  choose_port || { reason='no ports are free'; return 1; }
  local new=${TMPDIR:-/tmp}/$prefix$$
  mkdir -m 700 "$new" || { reason="$new is there already"; return 1; }
  dir=$new
  try 'the cluster did not come up' "$up_seconds_max" "$script" up "$dir" || return 1
  export KUBECONFIG=$dir/kubeconfig PACH_TEST_CLUSTER=$dir
}

# What a cluster of somebody else's needs for pods of ours.
check_given() {
  local unsaid=()
  [[ -n ${PACH_TEST_LOAD:-} ]] || unsaid+=("PACH_TEST_LOAD (how images get into it: 'minikube image load')")
  [[ -n ${AWS_ENDPOINT_URL:-} && -n ${AWS_ACCESS_KEY_ID:-} && -n ${AWS_SECRET_ACCESS_KEY:-} ]] ||
    unsaid+=('AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (an S3 server that its pods reach)')
  [[ ${#unsaid[@]} -gt 0 ]] || return 0
  local each
  for each in "${unsaid[@]}"; do say "the cluster of KUBECONFIG can't run our pods without $each"; done
  say 'set these, or unset KUBECONFIG: a cluster is brought up here then'
  return 1
}

only=()
if [[ -n ${KUBECONFIG:-} && -z ${PACH_TEST_CLUSTER:-} ]] && ! check_given && [[ -n ${DEMO:-} ]]; then
  exit 2
elif [[ -z ${KUBECONFIG:-} ]] && ! bring_up; then
  say "all tests are skipped: $reason"
  only=(--testNamePattern 'no test has this name')
elif [[ -n ${PACH_TEST_CLUSTER:-} ]]; then
  "$script" load "$PACH_TEST_CLUSTER" "$image" >&2
elif [[ -n ${PACH_TEST_LOAD:-} ]]; then
  $PACH_TEST_LOAD "$image" >&2
fi

rm -f "$report" "$summary"
status=0
# For a person to watch: what it shows comes here while it is done, past the reporter.
[[ -z ${DEMO:-} ]] || export DEMO_TO=/proc/$$/fd/1
node_modules/.bin/vitest run --mode kubernetes --reporter=default --reporter=json --outputFile.json="$report" \
  "${only[@]}" "$@" || status=$?
take_down
[[ $status -ne 0 || $taken_down -eq 0 ]] || status=1
node test/support/report.mjs "$report" "$summary" "$status"

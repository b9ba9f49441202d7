#!/usr/bin/env bash
# A throw-away Docker engine for tests, on a private socket.
#
#   docker-engine.sh start DIR   start one unless one answers already; print DOCKER_HOST=unix://…
#   docker-engine.sh stop  DIR   end what `start` started, containers included, and unmount all of it
#
# An engine that answers at $DOCKER_HOST, or at /var/run/docker.sock, is taken as it is, and then
# `stop` has nothing to do. The private one has everything (socket, images, logs) in DIR and no
# network of its own: its containers have what `--network none` and `host` give.
#
# Needs root, dockerd and curl: apt-get install -y --no-install-recommends docker.io curl
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

cmd=${1:-}
dir=$(realpath -m -- "${2:?usage: docker-engine.sh start|stop DIR}")
socket=$dir/sock

say() { echo "docker-engine: $*" >&2; }
die() { say "$*"; [ ! -f "$dir/log" ] || tail -n 20 "$dir/log" >&2; exit 1; }

# request METHOD SOCKET PATH
request() { curl -sf --max-time 60 -X "$1" --unix-socket "$2" "http://localhost$3"; }
answers() { request GET "$1" /_ping >/dev/null 2>&1; }

# The engine of whoever runs the tests, if there is one.
running_host() {
  local host=${DOCKER_HOST:-unix:///var/run/docker.sock}
  case $host in unix://*) answers "${host#unix://}" && echo "$host";; *) false;; esac
}

# live PIDFILE WORD: the pid in the file, or nothing. A pid file alone is not trusted (pids are
# reused): the process must also have WORD, which is in DIR, on its command line.
live() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
  { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qxF -- "$2" || return 1
  echo "$pid"
}
daemon() { live "$dir/started" "unix://$socket"; }
containerd() { live "$dir/exec/containerd/containerd.pid" "$dir/exec/containerd/containerd.toml"; }

# True while the process that was started last lives, be it not yet the daemon.
started() {
  local pid
  pid=$(cat "$dir/started" 2>/dev/null) && [ -n "$pid" ] && [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$pid/cmdline")" ]
} 2>/dev/null

# Starts a daemon, which is not our child: who starts an engine does not wait for its end.
begin() {
  rm -f "$dir/pid" "$socket"
  # One that died with its daemon may be a zombie still, which dockerd takes for alive.
  containerd >/dev/null || rm -f "$dir/exec/containerd/containerd.pid"
  (setsid dockerd -H "unix://$socket" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
    --bridge none --iptables=false --ip6tables=false >>"$dir/log" 2>&1 </dev/null 9>&- & echo $! >"$dir/started")
}

launch() {
  command -v dockerd >/dev/null || die 'dockerd is missing: apt-get install --no-install-recommends docker.io'
  mkdir -p "$dir"
  chmod 700 "$dir"
  # Tests in several processes ask at once.
  exec 9>"$dir/lock"
  flock 9
  local end=$((SECONDS + 60)) begun=0
  until answers "$socket"; do
    # One that was told to end may be there for a while.
    if ! started; then
      [ "$begun" -lt 2 ] || die 'dockerd ended'
      begun=$((begun + 1))
      begin
    fi
    [ "$SECONDS" -lt "$end" ] || die 'dockerd does not answer'
    sleep 0.1
  done
}

start() {
  local host
  if host=$(running_host); then echo "DOCKER_HOST=$host"; return; fi
  [ "$(id -u)" -eq 0 ] || die 'no engine answers, and only root can start one'
  launch
  echo "DOCKER_HOST=unix://$socket"
}

# finish daemon|containerd: ends it and waits. A zombie counts as ended.
finish() {
  local pid
  pid=$("$1") || return 0
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 200); do "$1" >/dev/null || return 0; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
}

stop() {
  [ -d "$dir" ] || return 0
  local id
  # A daemon that was killed leaves its containers; a new one finds and ends them.
  if ! daemon >/dev/null && grep -qsF -- "$dir/exec/containerd/" /proc/[0-9]*/cmdline; then launch; fi
  if daemon >/dev/null; then
    for id in $(request GET "$socket" '/containers/json?all=1' | grep -oE '"Id":"[0-9a-f]+"' | cut -d'"' -f4); do
      request DELETE "$socket" "/containers/$id?force=1" || say "container $id is left"
    done
  fi
  finish daemon
  finish containerd
  local mounts
  mapfile -t mounts < <(awk -v below="$dir/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  for mount in "${mounts[@]}"; do umount -l "$mount" || true; done
  rm -rf "$dir"
}

case $cmd in
  start) start;;
  stop) stop;;
  *) die 'usage: docker-engine.sh start|stop DIR';;
esac

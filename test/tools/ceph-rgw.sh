#!/usr/bin/env bash
# A throw-away Ceph cluster with a RADOS Gateway, as the S3 server of integration tests.
#
#   ceph-rgw.sh start [DIR]   create what is missing, start what is not running, print the exports
#   ceph-rgw.sh env   [DIR]   print the exports (fails when the gateway does not answer)
#   ceph-rgw.sh stop  [DIR]   stop the daemons this script started (by their pid files)
#   ceph-rgw.sh user  DIR NAME ACCESS SECRET   create one more user, who owns nothing yet
#
# Typical use:  eval "$(ceph-rgw.sh start)" && npm test; ceph-rgw.sh stop
#
# One mon, one osd, one radosgw; no mgr, no mds, no systemd. Everything (configuration, data,
# logs, pid files) lies under DIR, and every socket is bound to 127.0.0.1. Authentication between
# the daemons (cephx) is off, so any local user can reach the cluster: for tests only.
#
# Needs: ceph-mon, ceph-osd, radosgw, ceph-common on PATH
#   apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw ceph-common
#
# Settings (environment):
#   CEPH_RGW_DIR         the directory, when not given as argument   [${TMPDIR:-/tmp}/ceph-rgw]
#   CEPH_RGW_PORT        S3 port on 127.0.0.1                          [7480]
#   CEPH_RGW_MON_PORT    mon port; osd uses the 16 ports above it      [17300]
#   CEPH_RGW_STORE       memstore (in RAM, emptied by stop) or
#                        bluestore (sparse file in DIR, survives stop) [memstore]
#   CEPH_RGW_SIZE_GIB    capacity of the store                         [8]
#   CEPH_RGW_ACCESS_KEY, CEPH_RGW_SECRET_KEY, CEPH_RGW_REGION          [test..., us-east-1]
# Store, size, ports and keys are read when DIR is created; remove DIR to change them.
set -euo pipefail
unset CEPH_ARGS CEPH_CONF            # settings of another cluster must not leak in

cmd=${1:-}
dir=${2:-${CEPH_RGW_DIR:-${TMPDIR:-/tmp}/ceph-rgw}}
dir=$(realpath -m -- "$dir")
case $dir in *[[:space:]]*) echo "ceph-rgw: no blanks in DIR, please: $dir" >&2; exit 2;; esac
conf=$dir/ceph.conf

say() { echo "ceph-rgw: $*" >&2; }
die() { say "$*"; [ -d "$dir/log" ] && say "see the logs in $dir/log"; exit 1; }

# The pid of a running daemon of ours, or nothing. A pid file alone is not trusted (pids are
# reused): the process must also have our configuration file on its command line.
pid_of() {
  local pid
  pid=$(cat "$dir/run/$1.pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$conf" || return 1
  echo "$pid"
}

# wait_for SECONDS COMMAND...: retry until the command succeeds.
wait_for() {
  local end=$(( SECONDS + $1 )); shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# True when something accepts connections on a port of 127.0.0.1 (needs no extra tool).
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The settings a DIR was created with; sourced by every later call.
load() { [ -f "$dir/settings" ] && . "$dir/settings"; }

write_settings() {
  mkdir -p "$dir"/{run,log,mon,osd}
  chmod 700 "$dir"
  {
    printf 'port=%q\n'     "${CEPH_RGW_PORT:-7480}"
    printf 'mon_port=%q\n' "${CEPH_RGW_MON_PORT:-17300}"
    printf 'store=%q\n'    "${CEPH_RGW_STORE:-memstore}"
    printf 'size_gib=%q\n' "${CEPH_RGW_SIZE_GIB:-8}"
    printf 'access=%q\n'   "${CEPH_RGW_ACCESS_KEY:-testaccesskey}"
    printf 'secret=%q\n'   "${CEPH_RGW_SECRET_KEY:-testsecretkey}"
    printf 'region=%q\n'   "${CEPH_RGW_REGION:-us-east-1}"
    printf 'fsid=%q\n'     "$(cat /proc/sys/kernel/random/uuid)"
    printf 'osd_uuid=%q\n' "$(cat /proc/sys/kernel/random/uuid)"
  } >"$dir/settings"
}

write_conf() {
  cat >"$conf" <<CONF
[global]
fsid = $fsid
mon initial members = a
mon host = [v2:127.0.0.1:$mon_port/0]
# Loopback only, protocol v2 only.
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
ms bind port min = $(( mon_port + 1 ))
ms bind port max = $(( mon_port + 16 ))
# No cephx: no keyrings to make or to wait for.
auth cluster required = none
auth service required = none
auth client required = none
keyring = /dev/null
# radosgw asks for an encrypted mon connection unless told otherwise; without cephx there is none,
# and it would retry (EACCES) for ever.
ms mon client mode = crc
# One copy on one osd; few placement groups, as each costs start-up time.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon max pg per osd = 1000
mon allow pool size one = true
mon allow pool delete = true
# Everything below DIR; no admin sockets (their path would limit the length of DIR).
run dir = $dir/run
pid file = $dir/run/\$name.pid
log file = $dir/log/\$name.log
mon cluster log file = $dir/log/cluster.log
crash dir = $dir/log
admin socket =
log to stderr = false
err to stderr = true

[mon]
mon data = $dir/mon
mon data avail warn = 1
mon data avail crit = 1
# Commit and react at once instead of batching for a busy cluster.
paxos propose interval = 0.05
paxos min wait = 0.01

[osd]
osd data = $dir/osd
osd objectstore = $store
osd crush update on start = true
osd max object name len = 1024
memstore device bytes = $(( size_gib << 30 ))
bluestore block create = true
bluestore block size = $(( size_gib << 30 ))
bluestore block path =
osd memory target = 939524096

[client.rgw]
rgw data = $dir/rgw
# Without tcp_nodelay many answers come 40 ms late (Nagle against delayed ACK).
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw thread pool size = 64
# bucket.localhost is a bucket, too.
rgw dns name = localhost
# Encryption with a key of KMS, without a KMS and without TLS.
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = testkey=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo=
rgw enable usage log = false
rgw enable ops log = false
rgw override bucket index max shards = 1
rgw dynamic resharding = false
# Give the space of deleted and overwritten objects back after a minute (default: two hours).
rgw gc obj min wait = 60
rgw gc processor period = 30
rgw gc processor max time = 20
CONF
}

ceph_() { ceph -c "$conf" -n client.admin --connect-timeout 20 "$@" 2>>"$dir/log/ceph-cli.log"; }

start() {
  local tool
  for tool in ceph ceph-mon ceph-osd radosgw radosgw-admin monmaptool; do
    command -v "$tool" >/dev/null || die "$tool not found (Debian: apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common)"
  done
  # Two starts at once would race to create DIR: one waits for the other.
  mkdir -p "$dir"; exec 9>"$dir/.lock"; flock -w 120 9 || die "another start holds $dir/.lock"

  load || write_settings; load
  # A memstore is gone once its osd is: begin again with an empty cluster, same settings.
  if [ "$store" = memstore ] && ! pid_of osd.0 >/dev/null; then
    stop_all
    rm -rf "$dir/mon" "$dir/osd" "$dir/created"
  fi
  mkdir -p "$dir"/{run,log,mon,osd}
  write_conf

  if ! pid_of mon.a >/dev/null; then
    listens "$mon_port" && die "port $mon_port is taken (CEPH_RGW_MON_PORT)"
    if [ ! -e "$dir/mon/keyring" ] && [ ! -e "$dir/mon/store.db" ]; then
      monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon_port/0]" "$dir/monmap" >/dev/null
      ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" || die "mon mkfs failed"
    fi
    ceph-mon -c "$conf" -i a 9>&- || die "mon did not start"
    wait_for 30 listens "$mon_port" || die "mon does not listen"
  fi

  if ! pid_of osd.0 >/dev/null; then
    if [ ! -e "$dir/osd/ready" ]; then
      ceph_ osd new "$osd_uuid" >/dev/null || die "osd new failed"
      ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_uuid" >>"$dir/log/osd-mkfs.log" 2>&1 || die "osd mkfs failed"
    fi
    ceph-osd -c "$conf" -i 0 9>&- >>"$dir/log/osd-mkfs.log" 2>&1 || die "osd did not start"
  fi

  if [ ! -e "$dir/created" ]; then
    # Also creates the pools and the default zone, so that radosgw below finds them.
    radosgw-admin -c "$conf" -n client.rgw user create --uid=test --display-name=test \
      --access-key="$access" --secret-key="$secret" >"$dir/log/user-create.log" 2>&1 9>&- ||
      die "user create failed"
    touch "$dir/created"
  fi

  if ! pid_of client.rgw >/dev/null; then
    listens "$port" && die "port $port is taken (CEPH_RGW_PORT)"
    radosgw -c "$conf" -n client.rgw 9>&- || die "radosgw did not start"
    wait_for 60 listens "$port" || die "radosgw does not listen on $port"
  fi
  print_env
}

stop_one() {
  local name=$1 pid i
  pid=$(pid_of "$name") || { rm -f "$dir/run/$name.pid"; return 0; }
  # What is in RAM only is lost anyway: no reason to wait for an orderly end, which can take 10 s.
  if [ "$store" = memstore ]; then kill -9 "$pid"; else kill "$pid"; fi
  for (( i = 0; i < 100; i++ )); do
    pid_of "$name" >/dev/null || break
    sleep 0.1
  done
  if pid_of "$name" >/dev/null; then say "$name ($pid) ignores TERM: KILL"; kill -9 "$pid"; sleep 0.2; fi
  rm -f "$dir/run/$name.pid"
}
# The gateway first: it would wait for a vanished osd.
stop_all() { stop_one client.rgw; stop_one osd.0; stop_one mon.a; }

add_user() {
  radosgw-admin -c "$conf" -n client.rgw user create --uid="$1" --display-name="$1" \
    --access-key="$2" --secret-key="$3" >>"$dir/log/user-create.log" 2>&1 || die "user create failed"
}

print_env() {
  printf 'export AWS_ENDPOINT_URL=http://127.0.0.1:%s AWS_ACCESS_KEY_ID=%q AWS_SECRET_ACCESS_KEY=%q AWS_REGION=%q\n' \
    "$port" "$access" "$secret" "$region"
}

case $cmd in
  start) start ;;
  stop)  if load; then stop_all; fi ;;
  env)   load || die "nothing in $dir: run start first"
         pid_of client.rgw >/dev/null || die "the gateway of $dir is not running"
         listens "$port" || die "nothing listens on port $port"
         print_env ;;
  user)  load || die "nothing in $dir: run start first"
         [ $# -eq 5 ] || die "user DIR NAME ACCESS SECRET"
         add_user "$3" "$4" "$5" ;;
  *)     sed -n '2,9p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac

#!/usr/bin/env bash
# A Kubernetes cluster for tests, on this machine alone. The control plane (etcd, kube-apiserver,
# kube-controller-manager, kube-scheduler) is plain processes on 127.0.0.1. The one node, 127.0.0.1, is containerd, runc
# and kubelet in mount and PID namespaces of their own; its pods have a bridge, Services (kube-proxy), their names
# (CoreDNS) and the API server, and no way out of the machine. Kubernetes, etcd and CoreDNS are built from the Go
# modules that programs/go.mod names; containerd and runc are the machine's.
#
#   kubernetes.sh up DIR      build what is missing, start what is not running, wait until the cluster is ready;
#                     DIR/kubeconfig is then an administrator's
#   kubernetes.sh down DIR    stop all of it; DIR keeps the cluster's state and logs (remove DIR to start afresh)
#   kubernetes.sh status DIR  one line for each process, with its memory
#   kubernetes.sh load DIR ARCHIVE               give the node the images of an archive (`docker save`, or an OCI layout's tar)
#   kubernetes.sh image DIR NAME ROOTFS CONFIG   give the node an image of one layer, the folder ROOTFS; CONFIG is JSON, such as
#                                        {"Entrypoint":["/bin/app"],"Env":["PATH=/bin"]}
#   kubernetes.sh expose DIR PORT...             make 127.0.0.1:PORT of this machine answer at 10.244.0.1:PORT too, for pods and the machine
#   kubernetes.sh build       only build
#   kubernetes.sh can         fail, and say why, when this machine cannot have a node
#   kubernetes.sh left DIR    name what `down` should have taken away and is still there
#
# Run as root on Linux. Settings, from the environment:
#   K8S_BIN   where the programs are built and kept   (default: bin/ beside this script)
#   K8S_PORT  first of ten ports on 127.0.0.1         (default: 16440)
#   K8S_NODE  no: a control plane only, pods stay Pending; yes (the default): with the node. One node to a machine
# Needs, by Debian's package names: openssl; go (and gcc for the node) to build; for the node: containerd, runc,
# containernetworking-plugins, iproute2, nftables, busybox-static.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${K8S_BIN:-$here/bin}
with_node=${K8S_NODE:-yes}
ip=127.0.0.1
service_cidr=10.96.0.0/16 kubernetes_service=10.96.0.1
pod_cidr=10.244.0.0/24 pod_gateway=10.244.0.1

log() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { log "$*"; exit 1; }

# ---- building ------------------------------------------------------------------------------------------------------

# Built again whenever the module, and so a version, has changed.
build() {
  local version minor stamp pkg=k8s.io/component-base/version
  stamp=$(cat "$here"/programs/{go.mod,go.sum,dns/main.go} | sha256sum)
  [[ -f $bin/stamp && $(<"$bin/stamp") == "$stamp" ]] && return
  mkdir -p "$bin"
  exec 9>"$bin/lock"
  flock 9   # somebody else may be building it
  [[ -f $bin/stamp && $(<"$bin/stamp") == "$stamp" ]] && return
  command -v go >/dev/null || die "Go is needed to build the programs of the cluster"
  version=$(awk '$1 == "k8s.io/kubernetes" {print $2}' "$here/programs/go.mod")
  minor=${version#v1.} minor=${minor%%.*}
  log "building Kubernetes $version into $bin"
  (
    cd "$here/programs"
    export CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
    # Without a version of its own a component is "v0.0.0-master", which clients reject.
    go build -ldflags "-s -w -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=$minor" -o "$bin/" ./dns \
      k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl}
    go build -ldflags '-s -w' -o "$bin/etcd" go.etcd.io/etcd/server/v3
    # The container that holds every pod's namespaces; its source comes with the Kubernetes module.
    gcc -Os -static -s -o "$bin/pause" "$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux/pause.c"
  )
  printf '%s\n' "$stamp" >"$bin/stamp"
  exec 9>&-
}

# ---- certificates and kubeconfigs ----------------------------------------------------------------------------------

# certificate NAME SUBJECT [EXTENSION]...: pki/NAME.crt and pki/NAME.key, signed by the cluster's CA
certificate() {
  local name=$1 subject=$2 extension args=()
  shift 2
  [[ -f $dir/pki/$name.crt ]] && return
  for extension; do args+=(-addext "$extension"); done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "$subject" \
    -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -addext basicConstraints=critical,CA:FALSE "${args[@]}" \
    -keyout "$dir/pki/$name.key" -out "$dir/pki/$name.crt" 2>>"$dir/log/openssl.log"
}

# kubeconfig NAME FILE: a kubeconfig of the client certificate NAME
kubeconfig() {
  cat >"$2" <<YAML
apiVersion: v1
kind: Config
current-context: local
clusters:
- name: local
  cluster:
    server: $api
    certificate-authority-data: $(base64 -w0 <"$dir/pki/ca.crt")
contexts:
- name: local
  context: {cluster: local, user: $1}
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 <"$dir/pki/$1.crt")
    client-key-data: $(base64 -w0 <"$dir/pki/$1.key")
YAML
}

credentials() (
  umask 077
  if [[ ! -f $dir/pki/ca.crt ]]; then
    {
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=local-test-ca \
        -keyout "$dir/pki/ca.key" -out "$dir/pki/ca.crt"
      openssl genrsa -out "$dir/pki/sa.key" 2048
      openssl rsa -in "$dir/pki/sa.key" -pubout -out "$dir/pki/sa.pub"
    } 2>>"$dir/log/openssl.log"
  fi
  local client=extendedKeyUsage=clientAuth server=extendedKeyUsage=serverAuth
  local names
  names=$(printf ',DNS:%s' localhost kubernetes kubernetes.default kubernetes.default.svc{,.cluster.local})
  certificate apiserver /CN=kube-apiserver $server "subjectAltName=IP:$ip,IP:$kubernetes_service$names"
  certificate kubelet-server "/CN=$ip" $server "subjectAltName=IP:$ip"
  certificate admin /O=system:masters/CN=admin $client
  certificate controller-manager /CN=system:kube-controller-manager $client
  certificate scheduler /CN=system:kube-scheduler $client
  certificate kube-proxy /CN=system:kube-proxy $client
  certificate kubelet "/O=system:nodes/CN=system:node:$ip" $client
  certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client $client
  kubeconfig admin "$dir/kubeconfig"
  local name
  for name in controller-manager scheduler kubelet kube-proxy; do kubeconfig $name "$dir/pki/$name.kubeconfig"; done
)

# ---- processes -----------------------------------------------------------------------------------------------------

# A pid file has the process's start time too (field 22 of its stat): a number used again is not taken for ours. Nor is
# a process that has ended (state Z) and waits for its parent.
started() { sed -n 's/.*) \([^Z] .*\)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

running() {
  local pid time
  read -r pid time 2>/dev/null <"$dir/run/$1.pid" || return 1
  [[ -n $time && $(started "$pid") == "$time" ]]
}

# start NAME COMMAND...
start() {
  local name=$1
  shift
  running "$name" && return
  setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null &
  printf '%s %s\n' $! "$(started $!)" >"$dir/run/$name.pid"
}

# stop SIGNAL NAME...
stop() {
  local signal=$1 name pid _
  shift
  for name; do
    running "$name" || continue
    read -r pid _ <"$dir/run/$name.pid"
    kill "-$signal" "$pid"
  done
  for name; do
    for _ in {1..100}; do running "$name" || break; sleep 0.1; done
    if running "$name"; then
      read -r pid _ <"$dir/run/$name.pid"
      kill -KILL "$pid"
    fi
    rm -f "$dir/run/$name.pid"
  done
}

# await WHAT NAME COMMAND...: until COMMAND succeeds; fails at once when the process NAME has ended
await() {
  local what=$1 name=$2 end=$((SECONDS + 120))
  shift 2
  until "$@" >/dev/null 2>&1; do
    running "$name" || die "$name ended: see $dir/log/$name.log"
    ((SECONDS < end)) || die "no $what after 120 s: see $dir/log"
    sleep 0.2
  done
}

kubectl() { "$bin/kubectl" --kubeconfig "$dir/kubeconfig" "$@"; }

control_plane() {
  local key=$dir/pki
  start etcd "$bin/etcd" --name test --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://$ip:$((port + 1))" --advertise-client-urls "http://$ip:$((port + 1))" \
    --listen-peer-urls "http://$ip:$((port + 2))" --initial-advertise-peer-urls "http://$ip:$((port + 2))" \
    --initial-cluster "test=http://$ip:$((port + 2))"
  start kube-apiserver "$bin/kube-apiserver" --etcd-servers "http://$ip:$((port + 1))" \
    --bind-address $ip --advertise-address $ip --secure-port "$port" --endpoint-reconciler-type none \
    --tls-cert-file "$key/apiserver.crt" --tls-private-key-file "$key/apiserver.key" \
    --client-ca-file "$key/ca.crt" --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$key/sa.pub" --service-account-signing-key-file "$key/sa.key" \
    --service-cluster-ip-range $service_cidr --allow-privileged \
    --kubelet-certificate-authority "$key/ca.crt" \
    --kubelet-client-certificate "$key/kubelet-client.crt" --kubelet-client-key "$key/kubelet-client.key"
  await "answer from kube-apiserver" kube-apiserver kubectl get --raw /readyz
  start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$key/controller-manager.kubeconfig" \
    --bind-address $ip --secure-port $((port + 3)) --leader-elect=false --kube-api-qps 500 --kube-api-burst 1000 \
    --use-service-account-credentials --service-account-private-key-file "$key/sa.key" --root-ca-file "$key/ca.crt" \
    --flex-volume-plugin-dir "$dir/kubelet/plugins"
  start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$key/scheduler.kubeconfig" \
    --bind-address $ip --secure-port $((port + 4)) --leader-elect=false --kube-api-qps 500 --kube-api-burst 1000
}

# ---- the node ------------------------------------------------------------------------------------------------------

node_files() {
  mkdir -p "$dir"/{cni,containerd,kubelet}
  cat >"$dir/containerd.toml" <<TOML
version = 2
root = "$dir/containerd"
[grpc]
  address = "$containerd"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:test"
  restrict_oom_score_adj = true   # lowering it needs CAP_SYS_RESOURCE, which a sandbox's root may lack
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
TOML
  # Routes to the other pods and to Services only: there is no default route.
  cat >"$dir/cni/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "$bridge", "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "$pod_cidr"}]],
           "routes": [{"dst": "$service_cidr", "gw": "$pod_gateway"}]}}]}
JSON
  printf 'nameserver %s\n' $pod_gateway >"$dir/resolv.conf"
  cat >"$dir/Corefile" <<COREFILE
cluster.local {
  bind $pod_gateway
  errors
  kubernetes cluster.local {
    kubeconfig $dir/kubeconfig local
  }
}
COREFILE
  cat >"$dir/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $ip
port: $((port + 5))
healthzBindAddress: $ip
healthzPort: $((port + 6))
tlsCertFile: $dir/pki/kubelet-server.crt
tlsPrivateKeyFile: $dir/pki/kubelet-server.key
authentication:
  x509: {clientCAFile: $dir/pki/ca.crt}
containerRuntimeEndpoint: unix://$containerd
volumePluginDir: $dir/kubelet/plugins
clusterDNS: [$pod_gateway]
clusterDomain: cluster.local
resolvConf: $dir/resolv.conf
cgroupDriver: cgroupfs
failCgroupV1: false   # Kubernetes refuses such a machine by default since 1.35
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100   # images are loaded by hand and could not be pulled again
# Otherwise an image that a pod has pulled from a registry could not be used under the name that it was loaded with.
imagePullCredentialsVerificationPolicy: NeverVerify
maxPods: 200
YAML
}

# A bridge for the pods, which alone forwards: the machine's own interfaces do not. The API server's address inside the
# cluster leads to 127.0.0.1, from pods and from the machine; so do the exposed ports of the bridge's own address.
network() {
  if ! ip link show "$bridge" >/dev/null 2>&1; then
    ip link add "$bridge" type bridge
    ip address add "$pod_gateway/${pod_cidr#*/}" dev "$bridge"
    ip link set "$bridge" up
  fi
  echo 1 >"/proc/sys/net/ipv4/conf/$bridge/forwarding"
  echo 1 >"/proc/sys/net/ipv4/conf/$bridge/route_localnet"
  local exposed
  : >>"$dir/run/exposed"
  exposed=$(sort -un "$dir/run/exposed" | paste -sd,)
  [[ -z $exposed ]] || exposed="elements = { $exposed }"
  # Priority -120: before kube-proxy, which refuses a Service without endpoints, as this one is.
  nft -f - <<NFT || die "the rules of nftables could not be made"
add table ip $bridge
delete table ip $bridge
table ip $bridge {
  set exposed {
    type inet_service
    $exposed
  }
  chain pods {
    type nat hook prerouting priority -120
    iifname $bridge ip daddr $kubernetes_service tcp dport 443 dnat to $ip:$port
    iifname $bridge ip daddr $pod_gateway tcp dport @exposed dnat to $ip
  }
  chain machine {
    type nat hook output priority -120
    ip daddr $kubernetes_service tcp dport 443 dnat to $ip:$port
    ip daddr $pod_gateway tcp dport @exposed dnat to $ip
  }
}
NFT
}

# The node's first process, in its own mount and PID namespaces: what is mounted there nobody outside sees, and all of
# the node ends with this process. /run, /var/log and /var/lib/cni start empty, /var/lib/kubelet is DIR/kubelet.
node_init() {
  mount --make-rshared /   # for volumes with Bidirectional mount propagation
  mount --bind "$dir/resolv.conf" /etc/resolv.conf   # so an image that is not there is refused at once, not looked for
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /var/log
  mkdir -p /var/lib/{cni,kubelet}
  mount -t tmpfs tmpfs /var/lib/cni
  mount --bind "$dir/kubelet" /var/lib/kubelet
  # kubelet insists on setting these; it may set a copy of them.
  local key
  for key in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys \
    kernel/keys/root_maxbytes; do
    mkdir -p "/run/sys/${key%/*}"
    cat "/proc/sys/$key" >"/run/sys/$key"
    mount --bind "/run/sys/$key" "/proc/sys/$key"
  done
  containerd --config "$dir/containerd.toml" >>"$dir/log/containerd.log" 2>&1 &
  until ctr --address "$containerd" version >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
  # containerd answers before it takes pods, and a kubelet that asks too early ends.
  for _ in {1..20}; do
    "$bin/kubelet" --config "$dir/kubelet.yaml" --kubeconfig "$dir/pki/kubelet.kubeconfig" --hostname-override $ip || sleep 0.5
  done &
  wait -n
}

# load_image NAME ROOTFS CONFIG: makes a Docker archive of one layer and loads it
load_image() {
  local name=$1 rootfs=$2 config=$3 work
  work=$(mktemp -d "$dir/run/image.XXXXXX")
  tar -C "$rootfs" --numeric-owner --owner=0 --group=0 -cf "$work/layer.tar" .
  printf '{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$config" "$(sha256sum "$work/layer.tar" | cut -d' ' -f1)" >"$work/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" >"$work/manifest.json"
  tar -C "$work" -cf - manifest.json config.json layer.tar |
    ctr --address "$containerd" --namespace k8s.io images import - >/dev/null
  rm -rf "$work"
}

# localhost/pause:test, of which every pod has a container, and docker.io/library/busybox:latest
base_images() {
  ctr --address "$containerd" --namespace k8s.io images ls -q | grep -q pause:test && return
  local work rootfs applet
  work=$(mktemp -d "$dir/run/base.XXXXXX")

  rootfs=$work/busybox
  mkdir -p "$rootfs"/{bin,dev,etc,proc,root,sys,tmp,var}
  chmod 1777 "$rootfs/tmp"
  cp "$(command -v busybox)" "$rootfs/bin/busybox"
  for applet in $(busybox --list); do [[ -e $rootfs/bin/$applet ]] || ln -s busybox "$rootfs/bin/$applet"; done
  printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/false >"$rootfs/etc/passwd"
  printf '%s\n' root:x:0: nobody:x:65534: >"$rootfs/etc/group"
  load_image docker.io/library/busybox:latest "$rootfs" '{"Cmd":["sh"],"Env":["PATH=/bin"]}'

  rootfs=$work/pause
  mkdir "$rootfs"
  cp "$bin/pause" "$rootfs/pause"
  load_image localhost/pause:test "$rootfs" '{"Entrypoint":["/pause"],"User":"65535:65535"}'

  rm -rf "$work"
}

# Ready, and said so since the time $1: what a node said before it was last stopped is not news.
node_ready() {
  local ready
  ready=$(kubectl get node $ip \
    -o jsonpath='{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}')
  [[ $ready == "True "* && ! ${ready#* } < $1 ]]
}

node() {
  local program
  for program in containerd ctr runc ip nft busybox; do
    command -v $program >/dev/null || die "the node needs $program: see the head of $0"
  done
  node_files
  network
  start node unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    "$here/${0##*/}" node-init "$dir"
  start kube-proxy "$bin/kube-proxy" --kubeconfig "$dir/pki/kube-proxy.kubeconfig" --hostname-override $ip \
    --proxy-mode nftables --masquerade-all --nodeport-addresses $pod_cidr \
    --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 \
    --healthz-bind-address "$ip:$((port + 7))" --metrics-bind-address "$ip:$((port + 8))"
  start dns "$bin/dns" -conf "$dir/Corefile"
  await "answer from containerd" node ctr --address "$containerd" version
  base_images
  await "ready node" node node_ready "$(date -u -r "$dir/run/node.pid" +%FT%TZ)"
  await "answer from kube-proxy" kube-proxy nft list table ip kube-proxy
  running dns || die "dns ended: see $dir/log/dns.log"
}

# Leaves nothing of the node: control groups of pods that were killed with it, rules, bridge, mount points.
node_down() {
  local family group
  stop KILL node
  for _ in {1..50}; do
    for group in /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods; do
      [[ ! -d $group ]] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    [[ -z $(find /sys/fs/cgroup -maxdepth 2 -name kubepods) ]] && break
    sleep 0.1
  done
  for family in ip ip6; do nft delete table $family kube-proxy 2>/dev/null || true; done
  nft delete table ip "$bridge" 2>/dev/null || true
  ip link delete "$bridge" 2>/dev/null || true
  rmdir /var/lib/{cni,kubelet} 2>/dev/null || true
}

# ---- the command ---------------------------------------------------------------------------------------------------

# Tries, in namespaces of its own, what the node needs of the kernel.
can_have_node() {
  [[ $(id -u) -eq 0 ]] || die "the node needs root"
  ! ip -4 address show | grep -q " $pod_gateway/" || die "a node runs on this machine already (its bridge has $pod_gateway)"
  unshare --mount --pid --fork --mount-proc true || die "namespaces may not be made here"
  unshare --mount sh -c 'mount -t tmpfs tmpfs /run && mount --make-rshared /' || die "nothing may be mounted here"
  ip link add "$bridge" type bridge || die "a bridge may not be made here"
  ip link delete "$bridge"
  nft -f - <<NFT || die "nftables may not be used here"
table ip $bridge {
  chain try {
    type nat hook prerouting priority -120
  }
}
NFT
  nft delete table ip "$bridge"
  local probe
  for probe in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory/cgroup.procs; do
    [[ ! -e $probe || -w ${probe%/*} ]] || die "control groups may not be made here"
  done
}

# One line for each thing that is left of the node or of a process.
left() {
  local name
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler node kube-proxy dns; do
    ! running "$name" || echo "process $name"
  done
  grep -F " $dir/" /proc/self/mounts | sed 's/^/mount /' || true
  find /sys/fs/cgroup -maxdepth 2 -name kubepods | sed 's/^/control group /'
  ! ip link show "$bridge" >/dev/null 2>&1 || echo "bridge $bridge"
  for name in "$bridge" kube-proxy; do
    ! nft list table ip "$name" >/dev/null 2>&1 || echo "nftables table $name"
  done
  pgrep -f -- "$dir/" | grep -vx -e $$ -e $BASHPID | sed 's/^/process /' || true
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2; }

command=${1:-}
port=${K8S_PORT:-16440}
if [[ $command != build && $command != can ]]; then
  [[ $command =~ ^(up|down|status|load|image|expose|left|node-init)$ && -n ${2:-} ]] || usage
  mkdir -p "$2"/{etcd,log,pki,run}
  dir=$(cd "$2" && pwd)
  containerd=$dir/run/containerd.sock
  chmod 700 "$dir" "$dir/etcd"
  # A cluster keeps its ports. Written once: several calls at a time may read it.
  if [[ -f $dir/port ]]; then port=$(<"$dir/port"); elif [[ $command == up ]]; then printf '%s\n' "$port" >"$dir/port"; fi
fi
bridge=k8s$port   # also the name of the nftables table
api=https://$ip:$port

case $command in
build) build ;;
can) can_have_node ;;
left) left ;;
up)
  build
  credentials
  control_plane
  [[ $with_node == no ]] || node
  await "default service account" kube-controller-manager kubectl get serviceaccount default
  log "ready: export KUBECONFIG=$dir/kubeconfig"
  ;;
node-init) node_init ;;
load) ctr --address "$containerd" --namespace k8s.io images import "${3:?archive}" ;;
expose)
  printf '%s\n' "${@:3}" >>"$dir/run/exposed"
  network
  ;;
image) load_image "${3:?name}" "${4:?rootfs}" "${5:?config}" ;;
down)
  stop KILL kube-proxy dns kube-scheduler kube-controller-manager kube-apiserver   # only etcd keeps anything
  if [[ -f $dir/run/node.pid ]] || ip link show "$bridge" >/dev/null 2>&1; then node_down; fi
  stop TERM etcd
  ;;
status)
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler node kube-proxy dns; do
    running $name || { printf '%s: not running\n' $name; continue; }
    read -r pid _ <"$dir/run/$name.pid"
    printf '%s: process %s, %s MiB\n' $name "$pid" $((($(ps -o rss= --sid "$pid" | paste -sd+)) / 1024))
  done
  ;;
esac

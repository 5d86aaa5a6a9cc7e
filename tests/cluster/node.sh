# shellcheck shell=bash
# What the cluster takes of the machine, and how to find it again. Sourced by
# the scripts that start, end or inspect the node, after lib.sh.
# shellcheck disable=SC2034,SC2153

NODE_NAME=node1
BRIDGE=etcdbackup0
# The bridge's address is also the node's: nothing then depends on the
# machine's own network, and nothing of the node is reachable from there.
NODE_ADDRESS=10.244.0.1
POD_CIDR=10.244.0.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_ADDRESS=10.96.0.1
DNS_SERVICE_ADDRESS=10.96.0.10

# Not 6443, which a tunnel to a cluster of the developer's may hold.
API_PORT=16443
KUBELET_PORT=10250
KUBELET_HEALTH_PORT=10248
CONTROLLER_MANAGER_PORT=10257
SCHEDULER_PORT=10259
PROXY_HEALTH_PORT=10256
PROXY_METRICS_PORT=10249
# Where kubeadm's etcd listens, and where the operator looks for it.
ETCD_PORT=2379
ETCD_PEER_PORT=23800

# Each process carries this variable with the state directory as its value;
# containerd's shims inherit it. So ours are found even without their pid files.
MARK=ETCDBACKUP_CLUSTER_STATE
# Each iptables rule of ours carries this comment.
RULE_COMMENT=etcdbackup-test-cluster
CGROUP=etcdbackup-test-cluster
# Says which state directory the bridge, the rules and the sysctls belong to.
# In /run, because none of them survives a reboot either.
OWNER="/run/etcdbackup-test-cluster"
LOCK="/run/etcdbackup-test-cluster.lock"
CONTAINERD_SOCKET="$STATE/containerd/containerd.sock"
COMPONENTS=(etcd containerd apiserver controller-manager scheduler kubelet kube-proxy)

# What the kubelet, kube-proxy and `up` change.
SYSCTLS=(
  net.ipv4.ip_forward net.ipv4.conf.all.route_localnet
  net.bridge.bridge-nf-call-iptables net.bridge.bridge-nf-call-ip6tables
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes
)

lap=$(milliseconds)
lap_start=$lap

# stage NAME: how long it took since the one before.
stage() {
  local now
  now=$(milliseconds)
  printf '%-28s %6d ms\n' "$1" $((now - lap))
  lap=$now
}

stage_total() {
  lap=$lap_start
  stage "$1"
}

# /proc/PID/stat from the state on; the name before it may hold spaces.
process_stat() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null; }

# Linux gives a pid again, but not with the same start time.
start_time() { process_stat "$1" | cut -d' ' -f20; }

# A zombie has ended; only its parent has not looked yet.
running() {
  local stat
  stat=$(process_stat "$1") && [ -n "$stat" ] && [ "${stat%% *}" != Z ]
}

# component_pid NAME: fails if it does not run.
component_pid() {
  local pid started
  read -r pid started 2>/dev/null <"$STATE/pid/$1" || return 1
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && running "$pid" && printf '%s\n' "$pid"
}

alive() { component_pid "$1" >/dev/null; }

any_component_alive() {
  local component
  for component in "${COMPONENTS[@]}"; do
    if alive "$component"; then return 0; fi
  done
  return 1
}

all_components_alive() {
  local component
  for component in "${COMPONENTS[@]}"; do
    alive "$component" || return 1
  done
}

# Every process of any test cluster: "PID STATE_DIRECTORY".
marked_processes() {
  local file pid
  while IFS= read -r file; do
    pid=${file#/proc/}
    pid=${pid%/environ}
    if running "$pid"; then
      say "$pid $(tr '\0' '\n' <"$file" 2>/dev/null | sed -n "s/^$MARK=//p")"
    fi
  done < <(grep -lzs "^$MARK=" /proc/[0-9]*/environ)
}

our_processes() {
  local pid state
  while read -r pid state; do
    [ "$state" != "$STATE" ] || say "$pid"
  done < <(marked_processes)
}

cgroup_directories() {
  local directory
  for directory in "/sys/fs/cgroup/$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do
    [ ! -d "$directory" ] || say "$directory"
  done
}

container_processes() {
  local directory
  for directory in $(cgroup_directories); do
    find "$directory" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -un
}

# Deepest first, which is the order to unmount them in.
our_mounts() {
  local mount
  cut -d' ' -f5 /proc/self/mountinfo | sort -r | while IFS= read -r mount; do
    # The kernel writes a space as \040.
    mount=$(printf '%b' "$mount")
    case $mount in "$STATE"/*) say "$mount" ;; esac
  done
}

# holds_machine: what there is only one of is ours, or nobody's.
holds_machine() {
  [ ! -e "$OWNER/state" ] || [ "$(cat "$OWNER/state")" = "$STATE" ]
}

# import_image NAME: gives $IMAGES/NAME.tar to containerd, unless it has it.
import_image() {
  local name=$1
  if ! cmp -s "$IMAGES/$name.stamp" "$STATE/imported/$name"; then
    ctr -a "$CONTAINERD_SOCKET" -n k8s.io images import "$IMAGES/$name.tar" >/dev/null
    cp "$IMAGES/$name.stamp" "$STATE/imported/$name"
  fi
}

# shellcheck shell=bash
# How each process of the node is started and known to work. Sourced by `up`.

# start COMPONENT COMMAND...: in a session of its own and with nothing of ours
# open, so that it outlives this script and does not hold the lock. It writes
# its own pid file, so that there is no moment without one to be killed in.
start() {
  local name=$1 log pid_file
  shift
  if alive "$name"; then return; fi
  log="$STATE/log/$name.log"
  # The log of a component that died is what one wants to read.
  [ ! -e "$log" ] || mv "$log" "$log.old"
  pid_file="$STATE/pid/$name"
  rm -f "$pid_file"
  # shellcheck disable=SC2016 # for the inner shell
  env "$MARK=$STATE" setsid bash -c 'echo "$$ $(cut -d" " -f22 /proc/$$/stat)" >"$0"; exec "$@"' \
    "$pid_file" "$@" >"$log" 2>&1 </dev/null 9>&- &
  until [ -s "$pid_file" ]; do sleep 0.01; done
}

# wait_for COMPONENT SECONDS COMMAND...: ends early if the component has died.
wait_for() {
  local name=$1 deadline=$(($(milliseconds) + $2 * 1000)) log="$STATE/log/$1.log"
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name"; then
      grep -hE '^[EF][0-9]|level=(error|fatal)|"level":"(error|fatal)|panic|address already in use' "$log" | tail -5 >&2 || true
      die "$name ended; its log is $log"
    fi
    [ "$(milliseconds)" -lt "$deadline" ] || die "no sign of \"$*\"; the log of $name is $log"
    sleep 0.05
  done
}

start_etcd() {
  # The short election: a lone member waits for itself. No fsync: a state that
  # only a power cut can spoil is not worth a slow disk's time.
  start etcd "$BIN/etcd" --name "$NODE_NAME" --data-dir "$STATE/etcd" --log-level warn \
    --listen-client-urls "https://127.0.0.1:$ETCD_PORT,https://$NODE_ADDRESS:$ETCD_PORT" \
    --advertise-client-urls "https://$NODE_ADDRESS:$ETCD_PORT" \
    --cert-file "$PKI/etcd/server.crt" --key-file "$PKI/etcd/server.key" \
    --trusted-ca-file "$PKI/etcd/ca.crt" --client-cert-auth \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "$NODE_NAME=http://127.0.0.1:$ETCD_PEER_PORT" \
    --heartbeat-interval 20 --election-timeout 200 --unsafe-no-fsync
}

etcd_works() {
  curl -fs --cacert "$PKI/etcd/ca.crt" --cert "$PKI/etcd/healthcheck-client.crt" \
    --key "$PKI/etcd/healthcheck-client.key" "https://127.0.0.1:$ETCD_PORT/health"
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE no sandbox starts otherwise,
# since each wants a lower score than its parent. All paths, so that a
# containerd of the machine's own is not touched.
start_containerd() {
  cat >"$STATE/config/containerd.toml" <<END
version = 2
root = "$STATE/containerd/root"
state = "$STATE/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = "$CONTAINERD_SOCKET"
[ttrpc]
  address = "$CONTAINERD_SOCKET.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.local/pause:1"
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_plugins)"
    conf_dir = "$STATE/config/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$STATE/containerd/runc"
END
  start containerd containerd --config "$STATE/config/containerd.toml"
}

containerd_works() { ctr -a "$CONTAINERD_SOCKET" plugins ls | grep -q 'grpc.v1.*cri.*ok'; }

# On the bridge's address only: pods and this machine reach it, nobody else.
start_apiserver() {
  start apiserver "$BIN/kube-apiserver" \
    --bind-address "$NODE_ADDRESS" --advertise-address "$NODE_ADDRESS" --secure-port "$API_PORT" \
    --etcd-servers "https://127.0.0.1:$ETCD_PORT" --etcd-cafile "$PKI/etcd/ca.crt" \
    --etcd-certfile "$PKI/apiserver-etcd-client.crt" --etcd-keyfile "$PKI/apiserver-etcd-client.key" \
    --service-cluster-ip-range "$SERVICE_CIDR" \
    --client-ca-file "$PKI/ca.crt" --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" \
    --kubelet-certificate-authority "$PKI/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$PKI/apiserver-kubelet-client.crt" --kubelet-client-key "$PKI/apiserver-kubelet-client.key" \
    --requestheader-client-ca-file "$PKI/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
    --requestheader-username-headers X-Remote-User \
    --proxy-client-cert-file "$PKI/front-proxy-client.crt" --proxy-client-key-file "$PKI/front-proxy-client.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$PKI/service-accounts.pub" --service-account-signing-key-file "$PKI/service-accounts.key" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --allow-privileged=true --profiling=false
}

apiserver_works() { curl -fs --cacert "$PKI/ca.crt" "https://$NODE_ADDRESS:$API_PORT/readyz"; }

# client_flags COMPONENT: one identity for calls and for checking callers. The
# limit on requests would cost seconds while all controllers start.
client_flags() {
  local kubeconfig="$STATE/$1.kubeconfig"
  client_flags=(
    --kubeconfig "$kubeconfig" --authentication-kubeconfig "$kubeconfig" --authorization-kubeconfig "$kubeconfig"
    --bind-address 127.0.0.1 --leader-elect=false --kube-api-qps 500 --kube-api-burst 1000 --profiling=false
  )
}

start_controller_manager() {
  client_flags controller-manager
  start controller-manager "$BIN/kube-controller-manager" "${client_flags[@]}" \
    --secure-port "$CONTROLLER_MANAGER_PORT" --use-service-account-credentials \
    --root-ca-file "$PKI/ca.crt" --service-account-private-key-file "$PKI/service-accounts.key" \
    --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
    --cluster-cidr "$POD_CIDR" --service-cluster-ip-range "$SERVICE_CIDR" \
    --flex-volume-plugin-dir "$STATE/volume-plugins"
}

start_scheduler() {
  client_flags scheduler
  start scheduler "$BIN/kube-scheduler" "${client_flags[@]}" --secure-port "$SCHEDULER_PORT"
}

# failCgroupV1: newer kubelets refuse cgroup v1 unless told. oomScoreAdj and
# maxOpenFiles: what a root without CAP_SYS_RESOURCE may have. The thresholds: an
# image that garbage collection takes cannot be pulled again.
start_kubelet() {
  : >"$STATE/config/resolv.conf"
  cat >"$STATE/config/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
port: $KUBELET_PORT
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: $KUBELET_HEALTH_PORT
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "$PKI/ca.crt"}
authorization: {mode: Webhook}
tlsCertFile: "$PKI/kubelet-server.crt"
tlsPrivateKeyFile: "$PKI/kubelet-server.key"
containerRuntimeEndpoint: "unix://$CONTAINERD_SOCKET"
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: $(hard_file_limit)
clusterDNS: [$DNS_SERVICE_ADDRESS]
clusterDomain: cluster.local
resolvConf: "$STATE/config/resolv.conf"
podLogsDir: "$STATE/pod-logs"
volumePluginDir: "$STATE/volume-plugins"
serializeImagePulls: false
imageGCHighThresholdPercent: 100
evictionHard: {imagefs.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%"}
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
END
  start kubelet "$BIN/kubelet" --config "$STATE/config/kubelet.yaml" --kubeconfig "$STATE/kubelet.kubeconfig" \
    --root-dir "$STATE/kubelet" --cert-dir "$STATE/kubelet/pki" \
    --hostname-override "$NODE_NAME" --node-ip "$NODE_ADDRESS"
}

hard_file_limit() {
  local limit
  limit=$(ulimit -Hn)
  [ "$limit" != unlimited ] || limit=1000000
  printf '%s' "$limit"
}

node_registered() { kubectl get node "$NODE_NAME"; }

node_ready() {
  [ "$(kubectl get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]
}

# NodePorts on the bridge only; the zeros leave the machine's conntrack alone.
start_kube_proxy() {
  cat >"$STATE/config/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: "$STATE/kube-proxy.kubeconfig"}
mode: iptables
iptables: {localhostNodePorts: false, minSyncPeriod: 0s, syncPeriod: 30s}
nodePortAddresses: [$NODE_ADDRESS/32]
clusterCIDR: $POD_CIDR
detectLocalMode: ClusterCIDR
hostnameOverride: $NODE_NAME
oomScoreAdj: 0
healthzBindAddress: 127.0.0.1:$PROXY_HEALTH_PORT
metricsBindAddress: 127.0.0.1:$PROXY_METRICS_PORT
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
  start kube-proxy "$BIN/kube-proxy" --config "$STATE/config/kube-proxy.yaml"
}

# shellcheck shell=bash
# Where things are, and how the scripts of this directory speak. Sourced.

cluster_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Outside the checkout, so that a clean checkout does not cost a rebuild of
# Kubernetes and two worktrees share one.
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-etcdbackup"
BIN="$CACHE/bin"
# shellcheck disable=SC2034 # this and the next: used by the scripts that source this
IMAGES="$CACHE/images"
# shellcheck disable=SC2034
STATE="${CLUSTER_STATE:-$CACHE/cluster}"

# Files of an image are open to its user, whoever packed it.
umask 022

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die "needs root (it makes network devices, mounts and cgroups)"
}

need_command() {
  command -v "$1" >/dev/null || die "$1 is missing; tests/cluster/packages installs it"
}

sha256() { sha256sum | cut -d' ' -f1; }

# module_version DIRECTORY MODULE: go.mod is the only place that names versions.
module_version() {
  awk -v module="$2" '$1 == "require" { $0 = $2 " " $3 } $1 == module { print $2; exit }' \
    "$cluster_dir/go/$1/go.mod"
}

etcd_version() { module_version kubernetes go.etcd.io/etcd/server/v3; }
versitygw_version() { module_version versitygw github.com/versity/versitygw; }

etcd_image() { printf 'registry.local/etcd:%s' "$(etcd_version)"; }
versitygw_image() { printf 'registry.local/versitygw:%s' "$(versitygw_version)"; }

# unchanged FILE STAMP INPUTS: FILE exists and was made from these inputs.
unchanged() { [ -e "$1" ] && [ "$(cat "$2" 2>/dev/null)" = "$3" ]; }

# Nothing of the developer's own kubectl is read or written.
kubectl() {
  KUBERC=off KUBECACHEDIR="$STATE/kubectl-cache" "$BIN/kubectl" --kubeconfig "$STATE/admin.kubeconfig" "$@"
}

milliseconds() { printf '%s' $(($(date +%s%N) / 1000000)); }

# Debian's directory, then the one that upstream and other distributions use.
cni_plugins() {
  local directory
  for directory in /usr/lib/cni /opt/cni/bin; do
    if [ -x "$directory/bridge" ]; then
      printf '%s' "$directory"
      return
    fi
  done
}

# render MANIFEST NAME=VALUE...: the manifest with each @NAME@ replaced.
render() {
  local text pair
  text=$(<"$cluster_dir/manifests/$1")
  shift
  for pair in "$@"; do text=${text//@"${pair%%=*}"@/"${pair#*=}"}; done
  printf '%s\n' "$text"
}

apply() { kubectl apply --server-side --force-conflicts "$@" >/dev/null; }

# shellcheck shell=bash
# The names that the archives, the manifests and the test share. Sourced.

project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$project_dir/tests/cluster/lib.sh"

# What a release has archives of, as OS-ARCH in krew's words.
# shellcheck disable=SC2034 # used by plugin-manifest/render
RELEASED_PLATFORMS=(linux-amd64)

# package_field NAME: of Cargo.toml's [package], the only place that says the version and the project's address.
package_field() {
  local value
  value=$(sed -n '/^\[package\]/,/^$/ s/^'"$1"' = "\(.*\)"$/\1/p' "$project_dir/Cargo.toml")
  [ -n "$value" ] || die "Cargo.toml has no $1 in [package]"
  printf '%s' "$value"
}

# archive_name VERSION OS-ARCH
archive_name() { printf 'kubectl-etcdbackup-%s-%s.tar.gz' "$1" "$2"; }

# krew wants semantic versions with a leading v.
check_version() {
  [[ $1 =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "$1 is not a version of the form v1.2.3"
}

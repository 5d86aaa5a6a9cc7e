# shellcheck shell=bash
# The programs that are measured against, each of a version that is named here or in go/s5cmd/go.mod. They live
# below $tools, outside the checkout and the system. One that cannot be had is named, and its rows go without. Sourced.

aws_version=1.45.11
tools="$CACHE/bench"

missing() { say "missing peer: $1 ($2)"; }

# unpacked PACKAGE FILE: of Debian, without installing it.
unpacked() {
  local root="$tools/debian/$1"
  if [ ! -e "$root/$2" ]; then
    mkdir -p "$root"
    (cd "$root" && apt-get -qq download "$1" && dpkg-deb -x "$1"_*.deb .) >/dev/null 2>&1 || return
  fi
  printf '%s' "$root/$2"
}

find_s5cmd() {
  s5cmd="$tools/s5cmd"
  [ -x "$s5cmd" ] || (cd benches/go/s5cmd &&
    CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$s5cmd" github.com/peak/s5cmd/v2) || missing s5cmd 'Go module'
}

find_aws() {
  aws="$tools/aws/bin/aws"
  [ -x "$aws" ] || (python3 -m venv "$tools/aws" && "$tools/aws/bin/pip" install --quiet "awscli==$aws_version") ||
    missing 'aws CLI' "PyPI: awscli $aws_version"
}

find_rclone() { rclone=$(unpacked rclone usr/bin/rclone) || missing rclone 'Debian: rclone'; }

find_nginx() { nginx=$(unpacked nginx usr/sbin/nginx) || die 'the server is missing (Debian: nginx)'; }

# What has been found, for the line above the tables.
versions() {
  {
    "$nginx" -v 2>&1 | sed 's|nginx version: nginx/|nginx |'
    awk '/ github.com\/peak\/s5cmd\/v2 / { print "s5cmd", $NF }' benches/go/s5cmd/go.mod
    [ ! -x "$aws" ] || say "aws CLI $aws_version"
    [ ! -x "$rclone" ] || "$rclone" version | head -1
    openssl version | cut -d' ' -f1,2
    curl --version | head -1 | cut -d' ' -f1,2
    "$BIN/etcd" --version | head -1 | sed 's/ Version://'
    say "versitygw $(versitygw_version)"
  } | paste -sd, - | sed 's/,/, /g'
}

# shellcheck shell=bash
# Writes container images as docker-archives, without an engine. Sourced.

image_architecture() {
  case $(uname -m) in
    x86_64) printf amd64 ;;
    aarch64) printf arm64 ;;
    *) uname -m ;;
  esac
}

# The same files give the same bytes and so the same image id, whenever and by
# whomever they are packed.
reproducible_tar() {
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$@"
}

# One at a time, and what a killed run left is in nobody's use then.
lock_images() {
  mkdir -p "$IMAGES"
  exec 8>"$IMAGES/.lock"
  flock 8
  rm -rf "$IMAGES"/.work.* "$IMAGES"/.root.*
}

# docker_archive REFERENCE ROOT_DIRECTORY CONFIG_JSON FILE: an image of one layer.
docker_archive() {
  local reference=$1 root=$2 config=$3 file=$4 work layer_id config_id
  work=$(mktemp -d "$IMAGES/.work.XXXXXX")
  reproducible_tar -C "$root" -cf "$work/layer.tar" .
  layer_id=$(sha256 <"$work/layer.tar")
  cat >"$work/config" <<END
{"architecture":"$(image_architecture)","os":"linux","created":"1970-01-01T00:00:00Z","config":$config,
"rootfs":{"type":"layers","diff_ids":["sha256:$layer_id"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}
END
  config_id=$(sha256 <"$work/config")
  mv "$work/config" "$work/$config_id.json"
  printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$config_id" "$reference" >"$work/manifest.json"
  # Renamed when complete, so that a killed run leaves no half an image behind.
  reproducible_tar -C "$work" -cf "$work/archive.tar" manifest.json "$config_id.json" layer.tar
  mv "$work/archive.tar" "$file"
  rm -rf "$work"
}

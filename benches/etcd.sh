# shellcheck shell=bash
# An etcd of its own, in memory, and the snapshots of it. Sourced after tests/cluster/lib.sh by whoever has made
# $work, a directory in memory, and ends the `servers`.

servers=()

# Ports that nobody listens on: a server of somebody else must not be filled, nor measured.
ports() {
  python3 -c 'import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in sockets))' "$1"
}

# await COMMAND...: until the server that was started last answers it.
await() {
  local deadline=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1 && kill -0 "${servers[-1]}"; do
    kill -0 "${servers[-1]}" 2>/dev/null || die "the server ended before it answered: $*"
    [ "$SECONDS" -lt "$deadline" ] || die "not within a minute: $*"
    sleep 0.1
  done
}

# At $endpoint; it takes large transactions.
start_etcd() {
  local client peer
  read -r client peer < <(ports 2)
  endpoint=http://127.0.0.1:$client
  "$BIN/etcd" --name bench --data-dir "$work/etcd" --log-level error --unsafe-no-fsync \
    --max-txn-ops 10000 --quota-backend-bytes 4294967296 \
    --listen-client-urls "$endpoint" --advertise-client-urls "$endpoint" --listen-peer-urls "http://127.0.0.1:$peer" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "bench=http://127.0.0.1:$peer" \
    >"$work/etcd.log" 2>&1 </dev/null &
  servers+=($!)
  await "$BIN/etcdctl" --endpoints "$endpoint" endpoint health
}

# The one that was started last, and what it stored.
end_etcd() {
  kill "${servers[-1]}"
  wait "${servers[-1]}" || true
  unset 'servers[-1]'
  rm -rf "$work/etcd"
}

end_servers() {
  local server
  for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
  for server in "${servers[@]}"; do wait "$server" 2>/dev/null || true; done
}

# save FILE: a snapshot of the etcd.
save() { "$BIN/etcdctl" --endpoints "$endpoint" snapshot save "$1" >/dev/null 2>&1; }

# The revision of a snapshot; its name must not say a greater one.
revision_of() { "$BIN/etcdutl" snapshot status "$1" -w json | sed 's/.*"revision":\([0-9]*\).*/\1/'; }

#!/usr/bin/env python3
"""A slow line before a server, for a machine on which nobody may shape its network devices.

    slow_line.py HOST:PORT BITS_PER_SECOND

Prints the port of 127.0.0.1 on which it listens. All connections together bring no more than the rate to the
clients; what clients send is not slowed.
"""

import socket
import sys
import threading
import time

CHUNK = 16 * 1024

host, port = sys.argv[1].rsplit(":", 1)
bytes_per_second = int(sys.argv[2]) / 8
free_at = time.monotonic()
lock = threading.Lock()


def wait_for(count):
    """Until the line has carried as many bytes more; idle time is not saved up."""
    global free_at
    with lock:
        free_at = max(free_at, time.monotonic()) + count / bytes_per_second
        until = free_at
    time.sleep(max(0, until - time.monotonic()))


def carry(source, sink, slowly):
    try:
        while chunk := source.recv(CHUNK):
            if slowly:
                wait_for(len(chunk))
            sink.sendall(chunk)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    server = socket.create_connection((host, int(port)))
    # what waits in the kernel would come at once after the end
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * CHUNK)
    threading.Thread(target=carry, args=(client, server, False), daemon=True).start()
    threading.Thread(target=carry, args=(server, client, True), daemon=True).start()

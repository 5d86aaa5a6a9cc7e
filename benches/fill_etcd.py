#!/usr/bin/env python3
"""Fills an etcd as that of a large cluster: 8,192 values of 64 KiB and 600,000 of 200 bytes, which do not compress.

    fill_etcd.py ENDPOINT [MIB]

MIB is how much the large values are together, 512 if it is left out; there are fewer or more of the small ones alike.
Prints the size of its database in bytes. Several clients send large transactions as JSON, because one process for each
would take longer than the etcd. The etcd needs --max-txn-ops 10000; a transaction stays below its 1.5 MiB.
"""

import base64
import concurrent.futures
import http.client
import json
import os
import sys
import threading
import urllib.parse

CLIENTS = 4
MIB = int(sys.argv[2]) if len(sys.argv) > 2 else 512
# of each kind: the first key, how many transactions, how many keys in each, and the bytes of a value
KINDS = ((0, MIB, 16, 65536), (1_000_000, 150 * MIB // 512, 4000, 200))

address = urllib.parse.urlsplit(sys.argv[1]).netloc
local = threading.local()


def ask(path, body):
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection(address, timeout=60)
    local.connection.request("POST", path, json.dumps(body))
    answer = local.connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {text}")
    return json.loads(text)


def text(value):
    return base64.b64encode(value).decode()


def put(first, count, size):
    keys = (text(b"/bench/%08d" % number) for number in range(first, first + count))
    ask("/v3/kv/txn", {"success": [{"requestPut": {"key": key, "value": text(os.urandom(size))}} for key in keys]})


def main():
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        done = [
            clients.submit(put, at, each, size)
            for first, transactions, each, size in KINDS
            for at in range(first, first + transactions * each, each)
        ]
        for one in done:
            one.result()
    print(ask("/v3/maintenance/status", {})["dbSize"])


main()

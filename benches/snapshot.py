#!/usr/bin/env python3
"""Makes a snapshot that etcd would not restore and every transfer takes for one: random bytes and their sha256.

    snapshot.py WORK CLUSTER BYTES

Writes the object of CLUSTER below WORK/www, and WORK/listings/CLUSTER, the ListObjectsV2 answer that names it with
the ETag that nginx gives it (nginx, src/http/ngx_http_core_module.c, ngx_http_set_etag: time and size in hex).
BYTES without the sha256; a multiple of 512.
"""

import hashlib
import os
import pathlib
import sys

LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>etcd-backups</Name>
<KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>
"""
CONTENTS = """<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>
<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"""


def main():
    work, cluster, left = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    key = f"v1/{cluster}/3.5.21_000000000000000f_etcd.backup"
    path = work / "www" / "etcd-backups" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    sha = hashlib.sha256()
    with path.open("wb") as file:
        while left:
            piece = os.urandom(min(left, 1 << 24))
            sha.update(piece)
            file.write(piece)
            left -= len(piece)
        file.write(sha.digest())
    made = path.stat()
    contents = CONTENTS.format(key=key, etag=f"{int(made.st_mtime):x}-{made.st_size:x}", size=made.st_size)
    listings = work / "listings"
    listings.mkdir(exist_ok=True)
    (listings / cluster).write_text(LISTING.format(count=1, contents=contents))
    (listings / "none").write_text(LISTING.format(count=0, contents=""))


main()

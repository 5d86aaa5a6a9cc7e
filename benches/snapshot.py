#!/usr/bin/env python3
"""Offers a snapshot of an etcd for download, below a key that ends with its revision.

    snapshot.py WORK CLUSTER FILE KEY

Copies FILE to the object KEY of CLUSTER below WORK/www, and writes WORK/listings/CLUSTER, the ListObjectsV2 answer that names it with
the ETag that nginx gives it (nginx, src/http/ngx_http_core_module.c, ngx_http_set_etag: time and size in hex).
"""

import pathlib
import shutil
import sys

LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>etcd-backups</Name>
<KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>
"""
CONTENTS = """<Contents><Key>{key}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>
<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"""


def main():
    work, cluster, file, key = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    path = work / "www" / "etcd-backups" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, path)
    made = path.stat()
    contents = CONTENTS.format(key=key, etag=f"{int(made.st_mtime):x}-{made.st_size:x}", size=made.st_size)
    listings = work / "listings"
    listings.mkdir(exist_ok=True)
    (listings / cluster).write_text(LISTING.format(count=1, contents=contents))
    (listings / "none").write_text(LISTING.format(count=0, contents=""))


main()

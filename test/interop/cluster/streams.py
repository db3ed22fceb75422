# Copyright (c) 2026, the outbox developers
"""A consumer group of a cluster: streams.py STREAM...

In a cluster one command reads one stream, or streams of one slot.  After an error
it reads again what was given to it and not acknowledged.
"""

import os
import sys
import time

import redis
from redis.cluster import ClusterNode, RedisCluster

nodes = [ClusterNode(*a.split(":")) for a in os.environ["CLUSTER"].split(",")]
r = RedisCluster(startup_nodes=nodes, decode_responses=True)
since = {}

while True:
    for stream in sys.argv[1:]:
        try:
            if stream not in since:
                try:
                    r.xgroup_create(stream, "g", id="0", mkstream=True)
                except redis.ResponseError as e:
                    if "BUSYGROUP" not in str(e):
                        raise
                since[stream] = "0"
            read = r.xreadgroup("g", "one", {stream: since[stream]}, count=100)
            # a list of pairs, or a dictionary of lists of pages
            found = [e for _, entries in (read or []) for e in entries] if isinstance(read, list) else \
                [e for pages in (read or {}).values() for page in pages for e in page]
            for entry, message in found:
                with open("processed", "a", encoding="utf-8") as f:
                    print("streams", stream, message["id"], message["payload"], file=f)
                r.xack(stream, "g", entry)
            if not found:
                since[stream] = ">"
        except redis.RedisError as e:
            print(stream, e, file=sys.stderr)
            if stream in since:
                since[stream] = "0"
            time.sleep(0.1)
    time.sleep(0.02)

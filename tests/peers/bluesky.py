"""Downloads an account's posts with the `atproto` package, for comparison: repo | pages, PDS, DID, FILE.

Writes one JSON object a line, gzip 6, each post once, and prints the posts and the CPU seconds of the work without the start of the
interpreter. `repo` reads the blocks of a CAR in the order in which they come, without their tree.
"""

import gzip
import json
import resource
import sys

from atproto import CAR, Client

POST = "app.bsky.feed.post"


def pages(client, did):
    cursor, seen = None, set()
    while True:
        page = client.com.atproto.repo.list_records(
            {"repo": did, "collection": POST, "limit": 100, "cursor": cursor}
        )
        for record in page.records:
            if record.uri not in seen:
                seen.add(record.uri)
                yield {"uri": record.uri, "cid": record.cid, "value": record.value.model_dump(by_alias=True)}
        cursor = page.cursor
        if not cursor:
            return


def repo(client, did):
    car = CAR.from_bytes(client.com.atproto.sync.get_repo({"did": did}))
    for cid, block in car.blocks.items():
        if block.get("$type") == POST:
            yield {"cid": str(cid), "value": block}


def main():
    how, pds, did, file = sys.argv[1:]
    client = Client(base_url=f"{pds}/xrpc")
    before = resource.getrusage(resource.RUSAGE_SELF)
    count = 0
    with gzip.open(file, "wt", compresslevel=6) as out:
        for post in {"pages": pages, "repo": repo}[how](client, did):
            out.write(json.dumps(post, separators=(",", ":"), default=str) + "\n")
            count += 1
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(count, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


main()

"""Crawls timelines with Scrapy as a node does: all pages of each account, each tweet once, one gzip file
(level 6) an account, synced and renamed when it is whole. Prints what it did as one line of JSON.

Time and CPU count from the opening of the spider, so that the start of Python is not measured.
"""

import argparse
import gzip
import json
import os
import sys
import time

import scrapy
from scrapy.crawler import CrawlerProcess


class Timeline:
    """The file of one account."""

    def __init__(self, folder, user):
        self.path = os.path.join(folder, f"{user}.twt.gz")
        self.file = open(self.path + ".new", "wb")
        self.gzip = gzip.GzipFile(fileobj=self.file, mode="wb", compresslevel=6)
        self.ids = set()

    def add(self, tweets):
        lines = []
        for tweet in tweets:
            if tweet["id"] not in self.ids:
                self.ids.add(tweet["id"])
                lines.append(json.dumps(tweet, ensure_ascii=False, separators=(",", ":")))
        if lines:
            self.gzip.write(("\n".join(lines) + "\n").encode())

    def publish(self):
        self.gzip.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        os.rename(self.path + ".new", self.path)


class Timelines(scrapy.Spider):
    name = "timelines"
    custom_settings = {
        "CONCURRENT_REQUESTS": 32,
        "CONCURRENT_REQUESTS_PER_DOMAIN": 32,
        "DOWNLOAD_DELAY": 0,
        "AUTOTHROTTLE_ENABLED": False,
        "COOKIES_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        "TELNETCONSOLE_ENABLED": False,
        "HTTPERROR_ALLOWED_CODES": [401, 404],
        "LOG_LEVEL": "ERROR",
    }

    async def start(self):
        self.done = {"users": 0, "tweets": 0, "requests": 0}
        self.begin = time.monotonic(), time.process_time()
        for user in range(1, self.users + 1):
            yield self.page(user, None, None)

    def page(self, user, timeline, max_id):
        url = f"{self.url}statuses/user_timeline.json?count=200&include_rts=1&include_entities=1&user_id={user}"
        if max_id is not None:
            url += f"&max_id={max_id}"
        return scrapy.Request(url, self.parse, cb_kwargs={"user": user, "timeline": timeline}, dont_filter=True)

    def parse(self, response, user, timeline):
        self.done["requests"] += 1
        timeline = timeline or Timeline(self.folder, user)
        tweets = json.loads(response.body) if response.status == 200 else []
        if tweets:
            timeline.add(tweets)
            yield self.page(user, timeline, tweets[-1]["id"] - 1)
            return
        timeline.publish()
        self.done["users"] += 1
        self.done["tweets"] += len(timeline.ids)

    def closed(self, reason):
        begin, cpu = self.begin
        self.done["seconds"] = time.monotonic() - begin
        self.done["cpu_seconds"] = time.process_time() - cpu
        self.done["version"] = scrapy.__version__


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--url", required=True, help="base URL of the API, with a slash at its end")
    arguments.add_argument("--users", type=int, required=True, help="accounts 1 to this number are crawled")
    arguments.add_argument("--folder", required=True, help="where the files go")
    arguments = arguments.parse_args()
    process = CrawlerProcess()
    crawler = process.create_crawler(Timelines)
    process.crawl(crawler, url=arguments.url, users=arguments.users, folder=arguments.folder)
    process.start()
    json.dump(crawler.spider.done, sys.stdout)
    print()


main()

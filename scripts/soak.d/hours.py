"""Two daemons for hours: does their memory grow?

One shares 1,000 torrents for money. The other buys from it: it downloads a few, pays, settles each minute, removes them
with their data, and goes on with others. Beside them come free downloaders with a new home each, every second one of
which is killed half way, a peer that sends garbage, and a reader of the state and of the events.

What is printed: memory through the hours, and its slope after the first 20 minutes, by least squares. Memory is what
the process itself holds (RssAnon); beside it what of files, its own program above all, is mapped (RssFile: the system
takes it back as it likes), threads, and the databases on the disk, which SQLite keeps pages of. It fails when a slope
reaches 1 MiB an hour, or when something did not work.
"""

import collections
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts/bench.d"))
from bench_daemon import PIECE, PIECES, SEEDRAIL, Ours, torrent_file  # noqa: E402
from bench_swarm import free_port, listens, wait_for  # noqa: E402
from measure import status_of  # noqa: E402

TORRENTS, AT_ONCE = 1000, 4
EVERY, WARM_UP, LIMIT = 30, 20 * 60, 1.0
QUIET = ["--no-dht", "--no-lsd", "--no-port-map"]

Sizes = collections.namedtuple("Sizes", "own mapped stored threads")


class Daemon(Ours):
    """A daemon with an account of the devnet."""

    def __init__(self, folder, contents, port, node, key, *terms):
        folder.mkdir()
        super().__init__(folder, contents)
        self.port, self.terms = port, terms
        self.money = {"SEEDRAIL_NODE": node, "SEEDRAIL_NETWORK": "devnet", "SEEDRAIL_PRIVATE_KEY": key}
        self.lock = threading.Lock()

    def command(self):
        return [SEEDRAIL, "daemon", "--http", "off", "--listen", f"127.0.0.1:{self.port}", *QUIET, *self.terms]

    def environment(self):
        return super().environment() | self.money

    def ask(self, *request):
        with self.lock:
            return super().ask(*request)

    def rows(self):
        return json.loads(self.ask("GET", "/api/v1/torrents")[2])

    def sizes(self):
        """What it holds itself, what of files is mapped, its databases (MiB), and its threads."""
        status = status_of(self.process.pid)
        if "RssAnon" not in status:
            sys.exit("scripts/soak: a daemon has ended")
        files = (file for kind in ("*.db", "*.sqlite") for file in (self.folder / "home").rglob(kind))
        stored = sum(file.stat().st_size for file in files)
        return Sizes(status["RssAnon"] / 1024, status["RssFile"] / 1024, stored / (1 << 20), status["Threads"])


class Hours:
    def __init__(self, folder, seconds):
        self.folder, self.until = folder, time.monotonic() + seconds
        self.counts = {"bought": 0, "downloaded for nothing": 0, "killed": 0, "sent garbage": 0, "state read": 0, "events": 0}
        self.failure = None
        contents = folder / "contents"
        contents.mkdir()
        for number in range(TORRENTS):
            with open(contents / self.name(number), "wb") as file:
                file.truncate(PIECE * PIECES)
        port = free_port()
        log = folder / "devnet.json"
        with open(log, "w") as out:
            self.devnet = subprocess.Popen([SEEDRAIL, "devnet", "--port", str(port), "--accounts", "2", "--json", "--quiet"],
                                           stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
                                           env=os.environ | {"SEEDRAIL_HOME": str(folder / "node")})
        wait_for(lambda: listens(port) and "\n" in log.read_text(), "the devnet")
        keys = [account["private_key"] for account in json.loads(log.read_text().split("\n")[0])["accounts"]]
        node = f"http://127.0.0.1:{port}"
        self.seller = Daemon(folder / "seller", contents, free_port(), node, keys[0], "--ask", "5BTT/GiB", "--up-limit", "4MiB/s")
        self.buyer = Daemon(folder / "buyer", folder / "bought", free_port(), node, keys[1], "--bid", "20BTT/GiB",
                            "--settle", "100BTT", "--settle-every", "60s")

    @staticmethod
    def name(number):
        return f"{number:05}.bin"

    def file(self, number):
        return torrent_file(self.name(number))

    def left(self):
        return self.until - time.monotonic()

    def buy(self):
        """One round of the buyer: a few torrents, whole, and away with them."""
        for number in random.sample(range(TORRENTS), AT_ONCE):
            self.buyer.add(self.name(number), self.file(number), peers=[f"127.0.0.1:{self.seller.port}"])
        mine = [row["info_hash"] for row in self.buyer.rows()]
        wait_for(lambda: self.buyer.complete() == len(mine) or self.left() < 0, "what was bought")
        self.counts["bought"] += self.buyer.complete()
        for one in mine:
            self.buyer.ask("DELETE", f"/api/v1/torrents/{one}?data=true")
        # Each settles with its seller first.
        wait_for(lambda: not self.buyer.rows() or self.left() < 0, "the end of what was bought")

    def take(self):
        """Somebody who pays nothing; every second one is killed half way."""
        home = self.folder / "visitor"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        torrent = home / "it.torrent"
        torrent.write_bytes(self.file(random.randrange(TORRENTS)))
        visitor = subprocess.Popen([SEEDRAIL, "get", torrent, "-o", home / "out", "--listen", "127.0.0.1:0", "--peer",
                                    f"127.0.0.1:{self.seller.port}", "--quiet", *QUIET], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=os.environ | {"SEEDRAIL_HOME": str(home / "home")})
        is_killed = (self.counts["killed"] + self.counts["downloaded for nothing"]) % 2 == 0
        try:
            ended = visitor.wait(2 if is_killed else 600)
        except subprocess.TimeoutExpired:
            visitor.kill()
            visitor.wait()
            self.counts["killed"] += 1
            return
        if ended != 0:
            sys.exit(f"scripts/soak: a download for nothing ended with {ended}")
        self.counts["downloaded for nothing"] += 1

    def annoy(self):
        """A connection of garbage, as long as it is held."""
        with socket.create_connection(("127.0.0.1", self.seller.port)) as stream:
            stream.settimeout(10)
            try:
                stream.sendall(os.urandom(1 << 16))
                while stream.recv(1 << 16):
                    pass
            except OSError:
                pass
        self.counts["sent garbage"] += 1
        time.sleep(1)

    def read(self):
        """As a page does: what has changed, each second."""
        time.sleep(1)
        self.seller.difference()
        self.buyer.difference()
        self.counts["state read"] += 1

    def follow(self):
        """The events, for a minute, on a connection of their own."""
        events = self.seller.connect()
        events.request("GET", "/api/v1/events")
        answer = events.getresponse()
        until = time.monotonic() + 60
        while time.monotonic() < min(until, self.until):
            self.counts["events"] += answer.fp.readline().startswith(b"event:")
        events.close()

    def keep(self, work):
        try:
            while self.left() > 0 and self.failure is None:
                work()
        except (Exception, SystemExit) as failure:  # noqa: BLE001: any end of a worker is the end of the run
            self.failure = self.failure or f"{work.__name__}: {failure!r}"

    def run(self):
        """Seconds and sizes of both, each EVERY seconds."""
        samples = []
        try:
            for daemon in (self.seller, self.buyer):
                daemon.start()
            for number in range(TORRENTS):
                self.seller.add(self.name(number), self.file(number))
            self.seller.wait_complete(TORRENTS)
            # It hung up on a connection that said nothing meanwhile; the next request opens another.
            self.buyer.connection.close()
            began = time.monotonic()
            workers = [threading.Thread(target=self.keep, args=(work,), daemon=True)
                       for work in (self.buy, self.take, self.annoy, self.read, self.follow)]
            for worker in workers:
                worker.start()
            for turn in itertools.count(1):
                time.sleep(max(0, began + turn * EVERY - time.monotonic()))
                samples.append((time.monotonic() - began, self.seller.sizes(), self.buyer.sizes()))
                if turn % 20 == 0:
                    print(f"{turn * EVERY // 60} minutes: {samples[-1][1:]}, {self.counts}", file=sys.stderr, flush=True)
                if self.failure is not None:
                    sys.exit(f"scripts/soak: {self.failure}")
                if self.left() < 0:
                    break
            settled = json.loads(subprocess.run([SEEDRAIL, "earnings", "--json"], check=True, stdout=subprocess.PIPE,
                                                env=self.seller.environment()).stdout)
            return samples, settled
        finally:
            self.seller.kill()
            self.buyer.kill()
            self.devnet.kill()
            self.devnet.wait()


def slope(points):
    """A straight line's, by least squares, in MiB an hour."""
    times, values = zip(*points)
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    return 3600 * sum((t - middle) * (v - mean) for t, v in points) / sum((t - middle) ** 2 for t in times)


def main():
    # The daemons end with this, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("scripts/soak: ended by a signal"))
    hours = float(os.environ.get("SEEDRAIL_HOURS", "2"))
    with tempfile.TemporaryDirectory(prefix="seedrail-soak-", dir="/var/tmp") as folder:
        run = Hours(Path(folder), hours * 3600)
        samples, settled = run.run()
    print("| minutes | seller, MiB | mapped | databases | threads | buyer, MiB | mapped | databases | threads |")
    print("|" + "---:|" * 9)
    for at, *both in samples[19::20]:
        cells = [f"{one.own:.1f} | {one.mapped:.1f} | {one.stored:.1f} | {one.threads}" for one in both]
        print(f"| {at / 60:.0f} | " + " | ".join(cells) + " |")
    slopes = []
    for name, column in (("seller", 1), ("buyer", 2)):
        late = [row for row in samples if row[0] > WARM_UP]
        own, mapped = (slope([(row[0], row[column][field]) for row in late]) if len(late) > 2 else 0 for field in (0, 1))
        slopes.append(own)
        print(f"\nThe {name}'s memory after minute {WARM_UP // 60}: {own:+.2f} MiB an hour; what of files is mapped: {mapped:+.2f}.", end="")
    print("\n\n" + ", ".join(f"{number:,} {what}" for what, number in run.counts.items()) + f". Earnings: {json.dumps(settled)}")
    if max(slopes) >= LIMIT:
        sys.exit(f"scripts/soak: memory grows by {LIMIT} MiB an hour or more")


main()

"""What paying buys: one seeder with a limited line, leechers that pay or do not, on loopback.

Prints a table and writes the figures to docs/economy/*.svg. Each experiment is run --rounds times; the
table has the medians, and the lowest and highest where a property is claimed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_swarm import HERE, SEEDRAIL, free_port, listens, wait_for
from measure import ROOT, anonymous_of, benchmark, commit, heading, run
from plots import bars, lines

MIB = 1 << 20
FLOOR = 5_000_000  # raw units per GiB: 5 BTT
GIGABIT = 125_000_000
FIGURES = ROOT / "docs/economy"


class Market:
    def __init__(self, rounds, seconds):
        self.program, self.rounds, self.seconds = benchmark("economy"), rounds, seconds

    def one(self, **scenario):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(scenario, file)
            file.flush()
            return json.loads(run(self.program, "swarm", file.name))

    def all(self, name, **scenario):
        results = []
        for number in range(self.rounds):
            print(f"{name}: round {number + 1} of {self.rounds}", file=sys.stderr)
            results.append(self.one(**scenario))
        return results


def bid(times):
    return {"bid": int(times * FLOOR)}


FREE = {}


def rate(leecher, start=2.0, end=7.5):
    """MiB a second between two times."""
    samples = leecher["samples"]

    def at(time):
        """Bytes at a time, on the line between the samples around it."""
        for (t0, b0), (t1, b1) in zip(samples, samples[1:]):
            if t0 <= time < t1:
                return b0 + (b1 - b0) * (time - t0) / (t1 - t0)
        return samples[-1][1]

    end = min(end, samples[-1][0])
    return (at(end) - at(start)) / (end - start) / MIB


class Table:
    def __init__(self):
        self.rows = []

    def add(self, name, claim, values, form=".2f"):
        low, high = (f"{edge(values):{form}}" for edge in (min, max))
        self.rows.append(f"| {name} | {claim} | {statistics.median(values):{form}} | {low} – {high} |")

    def show(self):
        print("\n| | to show | median | lowest – highest |\n|---|---|---:|---:|")
        print("\n".join(self.rows))


def shares(market, table):
    line = {"rate": 4 * MIB, "bytes": 64 * MIB, "floor": FLOOR, "seconds": 8}
    two = market.all("bids 2:1", **line, leechers=[bid(2), bid(1)])
    table.add("rates of bids 2 : 1", "2 ± 10 %", [rate(r["leechers"][0]) / rate(r["leechers"][1]) for r in two])
    large = market.all("bids 2:1, pieces of 1 MiB", **line, piece=MIB, leechers=[bid(2), bid(1)])
    table.add("the same, pieces of 1 MiB", "2 ± 10 %", [rate(r["leechers"][0]) / rate(r["leechers"][1]) for r in large])
    many = market.all("bids 8:4:2:1", **line, leechers=[bid(8), bid(4), bid(2), bid(1)])
    middle = [statistics.median(rate(r["leechers"][n]) for r in many) for n in range(4)]
    bars(FIGURES / "rates-by-bid.svg", "Rates of four payers of one seeder limited to 4 MiB/s", "bid, times the floor price",
         "MiB/s", list(zip("8421", middle)))
    beside = market.all("bidder beside a plain client", **line, leechers=[bid(1), FREE])
    table.add("bidder : plain client", "≥ 4", [rate(r["leechers"][0]) / rate(r["leechers"][1]) for r in beside])
    alone = market.all("one payer alone", **line, leechers=[bid(10)])
    table.add("one payer alone, of the line", "line rate", [rate(r["leechers"][0]) / 4 for r in alone], ".3f")
    paid = [r["leechers"][0]["spent_raw"] / (r["leechers"][0]["samples"][-1][1] * FLOOR / (1 << 30)) for r in alone]
    table.add("what it pays, of the floor price", "≤ 1", paid, ".3f")
    every = [*two, *large, *many, *beside, *alone]
    table.add("time held, of all payers' time at 4 MiB/s, %", "< 1",
              [100 * r["held_s"] / (r["seconds"] * len(r["leechers"])) for r in every])
    table.add("payment bytes per MiB at 4 MiB/s", "", [r["wire_bytes"] / (sum(l["samples"][-1][1] for l in r["leechers"]) / MIB)
                                                       for r in [*two, *alone]], ".0f")
    small = market.all("a bid of 0", rate=4 * MIB, bytes=8 * MIB, floor=FLOOR, leechers=[bid(0), bid(1), FREE])
    table.add("a bid of 0 beside a payer finishes 8 MiB after, s", "finishes", [r["leechers"][0]["done"] for r in small], ".1f")


def throughput(market, table):
    for name, line, size in (("1 Gbit/s", GIGABIT, 384 * MIB), ("no limit", None, 2048 * MIB)):
        for pieces, piece in (("256 KiB", MIB // 4), ("4 MiB", 4 * MIB)):
            ratios, held, wire = [], [], []
            for _ in range(market.rounds):
                print(f"throughput, {name}, pieces of {pieces}", file=sys.stderr)
                common = {"rate": line, "bytes": size, "piece": piece}
                free = market.one(**common, leechers=[FREE])
                paid = market.one(**common, floor=FLOOR, leechers=[bid(1)])
                ratios.append(free["leechers"][0]["done"] / paid["leechers"][0]["done"])
                held.append(100 * paid["held_s"] / paid["seconds"])
                wire.append(paid["wire_bytes"] / (size / MIB))
            table.add(f"paid / unpaid throughput, {name}, pieces of {pieces}", "≥ 0.95", ratios, ".3f")
            table.add(f"time held, {name}, pieces of {pieces}, %", "< 1" if line else "", held)
            table.add(f"payment bytes per MiB, {name}, pieces of {pieces}", "", wire, ".0f")


def free_rider(market, table):
    curve, payers = [], []
    for count in range(8):
        leechers = [FREE] + [bid(1)] * count + [FREE] * (7 - count)
        results = market.all(f"free rider among {count} payers", rate=8 * MIB, bytes=6 * MIB, floor=FLOOR, leechers=leechers)
        curve.append((100 * count / 7, statistics.median(r["leechers"][0]["done"] for r in results)))
        if count:
            payers.append((100 * count / 7, statistics.median(statistics.mean(l["done"] for l in r["leechers"][1:1 + count])
                                                              for r in results)))
    lines(FIGURES / "free-rider.svg", "6 MiB from a seeder of 8 MiB/s, eight leechers", "others that pay, %", "seconds to complete",
          {"the free rider": curve, "payers, mean": payers})
    table.add("a free rider's time when all others pay / when none does", "≥ 1", [curve[-1][1] / curve[0][1]])


def chokers(market, table):
    policies = json.loads(run(market.program, "chokers"))
    series = {}
    for policy in policies:
        times = sorted(done for _, done in policy["done"])
        series[policy["policy"]] = [(0, 0)] + [(time, (n + 1) / len(times)) for n, time in enumerate(times)]
        top = [done for worth, done in policy["done"] if worth >= 8]
        low = [done for worth, done in policy["done"] if worth == 1]
        table.add(f"{policy['policy']}: time of the lowest / of the highest worth", "", [statistics.mean(low) / statistics.mean(top)])
    lines(FIGURES / "completion.svg", "Completion times of 40 peers by who is served", "seconds", "share of peers that are done",
          series, steps=True)


def limit(market, table):
    """A payer that comes to its seller's credit limit half way."""
    results = market.all("a payer at its limit", rate=4 * MIB, bytes=16 * MIB, floor=FLOOR, cap=8 * FLOOR >> 10,
                         leechers=[bid(1), FREE, FREE])
    times = [[leecher["done"] for leecher in r["leechers"]] for r in results]
    table.add("a payer at its limit finishes, of the first free peer's time", "≤ 1", [t[0] / min(t[1:]) for t in times])


class Besieged:
    """A seller and its node, both real processes, and payers that mean it ill."""

    def __init__(self, folder):
        self.folder, self.children = folder, []
        port = free_port()
        self.node = f"http://127.0.0.1:{port}"
        log = open(folder / "devnet.log", "w+")
        self.start([SEEDRAIL, "devnet", "--port", port, "--accounts", "3", "--json"], stdout=log)
        wait_for(lambda: listens(port), "the devnet")
        wait_for(lambda: "\n" in Path(log.name).read_text(), "the devnet's accounts")
        self.devnet = json.loads(Path(log.name).read_text().split("\n")[0])
        content, self.torrent = folder / "content.bin", folder / "content.torrent"
        content.write_bytes(os.urandom(8 * MIB))
        self.seller = f"127.0.0.1:{free_port()}"
        self.seed = self.start([SEEDRAIL, "seed", content, "--torrent-out", self.torrent, "--ask", "5BTT/GiB", "--listen", self.seller,
                                "--no-dht", "--no-lsd", "--no-port-map", "--json", "--quiet"], key=0)
        wait_for(lambda: listens(int(self.seller.rsplit(":", 1)[1])), "the seller")

    def key(self, n):
        return self.devnet["accounts"][n]["private_key"]

    def start(self, command, key=None, **options):
        environment = os.environ | {"SEEDRAIL_HOME": str(self.folder / "home")}
        if key is not None:
            environment |= {"SEEDRAIL_PRIVATE_KEY": self.key(key), "SEEDRAIL_NODE": self.node, "SEEDRAIL_NETWORK": "devnet"}
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
        self.children.append(subprocess.Popen([str(part) for part in command], env=environment, **options))
        return self.children[-1]

    def payers(self, kind, *more):
        return [sys.executable, HERE / "spiteful_payers.py", kind, "--torrent", self.torrent, "--seller", self.seller,
                "--genesis", self.devnet["genesis"], *more]

    def award(self):
        """Milliseconds from an honest payer's connection to its award."""
        return float(run(*map(str, self.payers("award", "--key", self.key(1), "--bid", str(2 * FLOOR)))))

    def end(self):
        for child in self.children:
            child.kill()
            child.wait()


KEYS, SPITE = 40, 300 << 10


def spite(market, table):
    """Hostile keys at 300 KiB/s: what honest buyers wait more for an award, and how the seller's memory grows."""
    later, growth = [], []
    for number in range(market.rounds):
        print(f"hostile keys: round {number + 1} of {market.rounds}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="seedrail-bench-") as folder:
            site = Besieged(Path(folder))
            try:
                before = statistics.median(site.award() for _ in range(10))
                flood = site.start(site.payers("flood", "--keys", KEYS, "--rate", SPITE), stdout=subprocess.PIPE)
                flood.stdout.readline()
                # What a new kind of work needs once is not growth.
                time.sleep(market.seconds)
                held, begun = anonymous_of(site.seed.pid), time.monotonic()
                during = []
                while time.monotonic() < begun + 2 * market.seconds or len(during) < 10:
                    during.append(site.award())
                hours = (time.monotonic() - begun) / 3600
                growth.append((anonymous_of(site.seed.pid) - held) / 1024 / hours)
                later.append(statistics.median(during) - before)
                if flood.poll() is not None:
                    sys.exit("scripts/bench: the hostile payers ended")
            finally:
                site.end()
    table.add(f"an honest buyer's award beside {KEYS} hostile keys at {SPITE >> 10} KiB/s comes later by, ms", "< 100", later, ".0f")
    table.add("the seller's memory grows meanwhile by, MiB an hour", "< 5", growth, ".1f")


def receipt_sizes(market, table):
    points = []
    for exponent in range(14, 25, 2):
        results = []
        for _ in range(market.rounds):
            result = json.loads(run(market.program, "receipts", str(1 << exponent), "1"))
            results.append(result["receipts"] * result["size"] / result["seconds"] / MIB)
        points.append((exponent, statistics.median(results)))
        name = f"{1 << exponent - 10} KiB" if exponent < 20 else f"{1 << exponent - 20} MiB"
        table.add(f"MiB/s that receipts of {name} allow", "", results, ".0f")
    ticks = [(exponent, f"{1 << exponent - 10}K" if exponent < 20 else f"{1 << exponent - 20}M") for exponent, _ in points]
    lines(FIGURES / "receipt-size.svg", "What receipts allow, one after another, both sides durable", "bytes per receipt", "MiB/s",
          {"receipts alone": points}, ticks=ticks, bound=("1 Gbit/s", GIGABIT / MIB))


def main(arguments):
    measured = commit()
    FIGURES.mkdir(parents=True, exist_ok=True)
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    market, table = Market(arguments.rounds, arguments.seconds), Table()
    for experiment in (shares, throughput, free_rider, chokers, limit, spite, receipt_sizes):
        if arguments.only in (None, experiment.__name__):
            experiment(market, table)
    heading("economy", "The economy", measured, f"{arguments.rounds} rounds")
    table.show()

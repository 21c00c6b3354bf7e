"""Settlement: a plan over a million debts, and a batch against the devnet beside a plain TronWeb script.

--only plan or batch measures one of them; --size does not apply.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_devnet
import bench_ledger
from measure import ROOT, benchmark, commit, heading, run

DEBTS, PAYOUTS, BY_TRONWEB = 1_000_000, 10_000, 300
BLOCK_TIME = "100ms"
SEEDRAIL = ROOT / "target/dist/seedrail"


def plan(rounds):
    ours = bench_ledger.program()
    walls, peaks = [], []
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        place = str(Path(folder) / "ledger")
        run(ours, "owe", place, str(DEBTS))
        for _ in range(rounds):
            done = subprocess.run([ours, "plan", place], capture_output=True, text=True, check=True)
            result = json.loads(done.stdout)
            assert result["ops"] == DEBTS, result
            walls.append(result["wall_s"])
            peaks.append(int(done.stderr.split()[0]) / 1024)
    print(f"\nA plan over {DEBTS:,} open debts of one payer, in a SQLite file: read, netted, ordered, priced.\n")
    print("| | | goal |")
    print("|---|---:|---:|")
    print(f"| seconds | {statistics.median(walls):.1f} | < 5 |")
    print(f"| peak memory, MiB | {statistics.median(peaks):,.0f} | < 1,024 |")


class Devnet(bench_devnet.Process):
    """A devnet, with what it said when it was ready."""

    def __enter__(self):
        self.ready = json.loads(self.child.stdout.readline())
        self.url = self.ready["url"]
        self.key = self.ready["accounts"][0]["private_key"]
        return self


def timed(devnet, work):
    """Seconds on the clock, and of processor time by the processes run and by the node."""
    def used():
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        fields = Path(f"/proc/{devnet.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        node = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), children.ru_utime + children.ru_stime, node
    before = used()
    result = work()
    return result, [after - then for after, then in zip(used(), before)]


def by_us():
    """Debts from a file of receipts, then one `settle run`, until all of it is solid."""
    with Devnet("--block-time", BLOCK_TIME) as devnet, tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"SEEDRAIL_HOME": home, "SEEDRAIL_NODE": devnet.url, "PAYER_KEY": devnet.key,
                                    "SEEDRAIL_NETWORK": "devnet", "SEEDRAIL_PRIVATE_KEY": devnet.key}
        file = str(Path(home) / "receipts.jsonl")
        run(bench_ledger.program(), "debts", file, str(PAYOUTS), devnet.ready["genesis"], env=environment)
        run(SEEDRAIL, "receipts", "import", file, "--adopt", "--yes", "--json", "--quiet", env=environment)
        report, (wall, ours, node) = timed(devnet, lambda: json.loads(
            run(SEEDRAIL, "settle", "run", "--yes", "--json", "--quiet", env=environment)))
        assert report["confirmed"] == PAYOUTS, report["confirmed"]
        return PAYOUTS / wall, ours / PAYOUTS, node / PAYOUTS


def by_tronweb():
    with Devnet("--block-time", BLOCK_TIME) as devnet:
        environment = os.environ | {"SEEDRAIL_PEERS": run("scripts/peers", "--where").strip(), "PAYER_KEY": devnet.key}
        script = str(ROOT / "scripts/bench.d/tronweb_batch.mjs")
        result, (_, ours, node) = timed(devnet, lambda: json.loads(
            run("node", script, devnet.url, str(BY_TRONWEB), env=environment)))
        return BY_TRONWEB / result["wall_s"], ours / BY_TRONWEB, node / BY_TRONWEB


def bound():
    """What the least work takes: the receipt verified, the transfer signed, and taken in by the node from a client
    that does nothing else. Payouts a second."""
    ours, cores = bench_ledger.program(), os.cpu_count()
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        file = str(Path(folder) / "receipts.jsonl")
        run(ours, "make", file, str(PAYOUTS))
        verify = bench_ledger.rate(ours, "verify", file, str(PAYOUTS))
        sign = bench_ledger.rate(ours, "sign", str(Path(folder) / "ledger"), str(PAYOUTS))
    with Devnet("--block-time", BLOCK_TIME) as devnet:
        taken = json.loads(run(benchmark("devnet"), "http", str(PAYOUTS), "16", devnet.url))
    return 1 / (taken["included_s"] / taken["ops"] + (1 / verify + 1 / sign) / cores)


def batch(rounds):
    run("scripts/peers", "javascript")
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    best, ours, theirs = [], [], []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        best.append(bound())
        ours.append(by_us())
        theirs.append(by_tronweb())
    best = statistics.median(best)
    print(f"\nPayouts a second against the devnet, blocks every {BLOCK_TIME}, all on the same cores; each payee's account "
          f"is made by its payout.\nOurs: `settle run` over {PAYOUTS:,} debts, from its start until every payout is "
          f"solid. TronWeb: {BY_TRONWEB:,} transfers by its\ndocumented calls, until the last is in a block. The bound: "
          f"receipts verified and transfers signed on all cores, and\nas many taken in by the node from a client that "
          f"does nothing else, one after the other.\n")
    print("| | payouts a second | CPU-ms a payout | of them the node's | |")
    print("|---|---:|---:|---:|---|")
    print(f"| bound | {best:,.0f} | | | |")
    them = statistics.median(rate for rate, *_ in theirs)
    for name, rows in (("seedrail", ours), ("TronWeb", theirs)):
        rate, own, node = (statistics.median(values) for values in zip(*rows))
        beside = f"{rate / best:.2f} of the bound; {rate / them:.1f} × TronWeb, goal 20 ×" if rows is ours else ""
        print(f"| {name} | {rate:,.0f} | {(own + node) * 1000:.2f} | {node * 1000:.2f} | {beside} |")


def main(arguments):
    parts = {"plan": plan, "batch": batch}
    if arguments.only and arguments.only not in parts:
        sys.exit(f"scripts/bench: the parts are {', '.join(parts)}")
    heading("settle", "Settlement", commit(), f"{arguments.rounds} rounds")
    print()
    for name, part in parts.items():
        if arguments.only in (None, name):
            part(arguments.rounds)

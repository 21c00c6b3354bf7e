"""Settlement: a plan over a million debts, and a batch against the devnet beside a plain TronWeb script.

--only plan or batch measures one of them; --size does not apply.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench_devnet
import bench_ledger
from measure import ROOT, commit, heading, run

DEBTS, PAYOUTS, BY_TRONWEB = 1_000_000, 10_000, 300
BLOCK_TIME = "200ms"
SEEDRAIL = ROOT / "target/release/seedrail"


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


def by_us():
    """Debts from a file of receipts, then one `settle run`, until all of it is solid."""
    with Devnet("--block-time", BLOCK_TIME) as devnet, tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"SEEDRAIL_HOME": home, "SEEDRAIL_NODE": devnet.url, "PAYER_KEY": devnet.key,
                                    "SEEDRAIL_NETWORK": "devnet", "SEEDRAIL_PRIVATE_KEY": devnet.key}
        file = str(Path(home) / "receipts.jsonl")
        run(bench_ledger.program(), "debts", file, str(PAYOUTS), devnet.ready["genesis"], env=environment)
        run(SEEDRAIL, "receipts", "import", file, "--adopt", "--yes", "--json", env=environment)
        begin = time.monotonic()
        report = json.loads(run(SEEDRAIL, "settle", "run", "--yes", "--json", "--quiet", env=environment))
        wall = time.monotonic() - begin
        assert report["confirmed"] == PAYOUTS, report["confirmed"]
        return PAYOUTS / wall


def by_tronweb():
    with Devnet("--block-time", BLOCK_TIME) as devnet:
        environment = os.environ | {"SEEDRAIL_PEERS": run("scripts/peers", "--where").strip(), "PAYER_KEY": devnet.key}
        script = str(ROOT / "scripts/bench.d/tronweb_batch.mjs")
        result = json.loads(run("node", script, devnet.url, str(BY_TRONWEB), env=environment))
        return result["ops"] / result["wall_s"]


def batch(rounds):
    run("scripts/peers", "javascript")
    run("cargo", "build", "--release", "--locked", "--quiet")
    ours, theirs = [], []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        ours.append(by_us())
        theirs.append(by_tronweb())
    us, them = statistics.median(ours), statistics.median(theirs)
    print(f"\nPayouts a second against the devnet, blocks every {BLOCK_TIME}, all on the same cores; each payee's account "
          f"is made by its payout.\nOurs: `settle run` over {PAYOUTS:,} debts, from its start until every payout is "
          f"solid. TronWeb: {BY_TRONWEB:,} transfers by its\ndocumented calls, until the last is in a block.\n")
    print("| | payouts a second | |")
    print("|---|---:|---|")
    print(f"| seedrail | {us:,.0f} | {us / them:.0f} × TronWeb; goal 20 × |")
    print(f"| TronWeb | {them:,.0f} | |")


def main(arguments):
    parts = {"plan": plan, "batch": batch}
    if arguments.only and arguments.only not in parts:
        sys.exit(f"scripts/bench: the parts are {', '.join(parts)}")
    heading("settle", "Settlement", commit(), f"{arguments.rounds} rounds")
    print()
    for name, part in parts.items():
        if arguments.only in (None, name):
            part(arguments.rounds)

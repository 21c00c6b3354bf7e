"""The ledger: receipts taken in, attempts made durable, workers on one PostgreSQL.

The sizes are those of shared use: 1,000,000 receipts and 100,000 attempts, once each; --size and --rounds
do not apply. --only ingest, attempts or workers measures one of them.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROOT, benchmark, commit, heading, run

RECEIPTS, SAMPLE, ATTEMPTS, SECONDS = 1_000_000, 100_000, 100_000, 15
BIN = "/usr/lib/postgresql/15/bin"

# Runs as the user that may run a server; ends with its input.
KEEPER = f"""
set -eu
dir=$(mktemp -d "${{TMPDIR:-/tmp}}/seedrail-bench.XXXXXX")
end() {{ {BIN}/pg_ctl -D "$dir/data" -w -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"; }}
trap end EXIT
trap 'exit 1' HUP INT TERM
cd "$dir"
{BIN}/initdb -D "$dir/data" -U seedrail -A trust --no-locale -E UTF8 >/dev/null
{BIN}/pg_ctl -D "$dir/data" -l "$dir/log" -w \
    -o "-k $dir -c listen_addresses= -c shared_buffers=256MB -c max_wal_size=4GB" start >/dev/null
echo "$dir"
cat >/dev/null
"""


def program():
    return benchmark("ledger", "--no-default-features", "--features", "postgres")


class Stores:
    """Fresh places for ledgers: files in a folder, databases of a server."""

    def __init__(self):
        run("scripts/peers", "postgres")
        command = ["sh", "-c", KEEPER]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--"] + command
        self.keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.server = self.keeper.stdout.readline().strip() or sys.exit("scripts/bench: PostgreSQL did not start")
        self.folder = tempfile.TemporaryDirectory(dir=ROOT / "target")
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.keeper.stdin.close()
        self.keeper.wait()
        self.folder.cleanup()

    def fresh(self, kind):
        self.count += 1
        if kind == "SQLite":
            return str(Path(self.folder.name) / f"l{self.count}")
        run(f"{BIN}/psql", "-X", "-q", "-c", f"CREATE DATABASE l{self.count}",
            f"postgres://seedrail@/postgres?host={self.server}")
        return f"postgres://seedrail@/l{self.count}?host={self.server}"


def rate(*command):
    print("measuring:", *command[1:3], file=sys.stderr)
    result = json.loads(run(*command))
    return result["ops"] / result["wall_s"]


def ingest(ours, stores):
    file = str(Path(stores.folder.name) / "receipts.jsonl")
    run(ours, "make", file, str(RECEIPTS))
    verify = rate(ours, "verify", file, str(SAMPLE))
    print(f"\n{RECEIPTS:,} signed receipts of 1,000 payers, each of an epoch of its own, from a file; a second:\n")
    print("| store | verify, one thread | store | bound: 1/(1/verify + 1/store) | ingest | of the bound |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in ("SQLite", "PostgreSQL 15"):
        store = rate(ours, "store", file, stores.fresh(kind))
        both = rate(ours, "ingest", file, stores.fresh(kind))
        bound = 1 / (1 / verify + 1 / store)
        print(f"| {kind} | {verify:,.0f} | {store:,.0f} | {bound:,.0f} | {both:,.0f} | {both / bound:.2f} |")


def attempts(ours, stores):
    print(f"\n{ATTEMPTS:,} attempts, built and signed on one thread and committed by 1,000; a second:\n")
    print("| store | bound: sign, one thread | signed and durable | of the bound |")
    print("|---|---:|---:|---:|")
    for kind in ("SQLite", "PostgreSQL 15"):
        bound = rate(ours, "sign", stores.fresh(kind), str(ATTEMPTS))
        durable = rate(ours, "attempts", stores.fresh(kind), str(ATTEMPTS))
        print(f"| {kind} | {bound:,.0f} | {durable:,.0f} | {durable / bound:.2f} |")


def workers(ours, stores):
    print(f"\nPayouts from the plan to the solid block, without a chain, by workers of one PostgreSQL 15 with a payer "
          f"account each, for {SECONDS} s; a second:\n")
    print("| workers | payouts | of one worker |")
    print("|---:|---:|---:|")
    one = None
    for number in (1, 2, 4):
        place = stores.fresh("PostgreSQL 15")
        running = [subprocess.Popen([ours, "worker", place, str(n), str(SECONDS)], stdout=subprocess.PIPE, text=True)
                   for n in range(number)]
        total = 0
        for worker in running:
            output, _ = worker.communicate()
            if worker.returncode != 0:
                sys.exit("scripts/bench: a worker failed")
            result = json.loads(output)
            total += result["ops"] / result["wall_s"]
        one = one or total
        print(f"| {number} | {total:,.0f} | {total / one:.2f} |")


def main(arguments):
    parts = {"ingest": ingest, "attempts": attempts, "workers": workers}
    if arguments.only and arguments.only not in parts:
        sys.exit(f"scripts/bench: the parts are {', '.join(parts)}")
    built_from = commit()
    ours = program()
    with Stores() as stores:
        heading("ledger", "The ledger", built_from, "one run")
        for name, part in parts.items():
            if arguments.only in (None, name):
                part(ours, stores)

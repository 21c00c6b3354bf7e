"""The demo as a newcomer runs it: how much faster the payer was, and the memory of all its processes."""

import json
import statistics
import subprocess
import sys
import time

from measure import ROOT, commit, heading, memory_of, run


def main(arguments):
    rounds = arguments.rounds
    measured = commit()
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    results = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        start = time.monotonic()
        child = subprocess.Popen([ROOT / "target/dist/seedrail", "demo", "--json"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        peak = processes = 0
        while child.poll() is None:
            memory, members = memory_of(child.pid)
            peak, processes = max(peak, memory), max(processes, members)
            time.sleep(0.05)
        if child.returncode != 0:
            sys.exit(f"scripts/bench: the demo ended with {child.returncode}")
        report = json.load(child.stdout)
        paid, free = report["paid"]["seconds"], report["free"]["seconds"]
        results.append({"paid": paid, "free": free, "ratio": free / paid, "all": time.monotonic() - start,
                        "peak": peak / 1024, "processes": processes})

    def row(label, key, form):
        values = [result[key] for result in results]
        print(f"| {label} | {statistics.median(values):{form}} | {min(values):{form}} | {max(values):{form}} |")

    heading("demo", "The demo", measured, f"{rounds} rounds")
    print("64 MiB from one seeder limited to 4 MiB/s, leechers to 256 KiB/s each, blocks every 3 s.\n")
    print("| | median | lowest | highest |")
    print("|---|---:|---:|---:|")
    row("paying leecher, s", "paid", ".1f")
    row("leecher that does not pay, s", "free", ".1f")
    row("the payer was faster by", "ratio", ".2f")
    row("from the start to settled, s", "all", ".1f")
    row("peak memory of all processes, MiB", "peak", ".0f")
    row("processes at once", "processes", "d")

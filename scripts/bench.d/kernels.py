"""Contests of kernels: ours and theirs in turn, operations per second of processor time."""

import json
import os
import statistics
import sys
from pathlib import Path

from measure import ROOT, benchmark, commit, heading, run


def kernels():
    """Builds our kernels and says where the program is."""
    return benchmark("kernels", "--no-default-features", "--features", "ledger")


class Setup:
    """The commands of the contestants."""

    def __init__(self):
        self.kernels = kernels()
        run("scripts/peers", "javascript", "python")
        self.peers = Path(run("scripts/peers", "--where").strip())

    def ours(self, kernel, threads=1):
        return lambda seconds: [self.kernels, kernel, str(seconds), str(threads)]

    def tronweb(self, kernel):
        script = ROOT / "scripts/bench.d/tronweb.mjs"
        return lambda seconds: ["node", script, kernel, str(seconds)]

    def libsecp256k1(self, kernel):
        folder = ROOT / "scripts/bench.d/libsecp256k1"
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "libsecp256k1"
        run(*("cargo", "build", "--locked", "--quiet", "--release", "--manifest-path", folder / "Cargo.toml", "--target-dir", target))
        return lambda seconds: [target / "release/seedrail-libsecp256k1", kernel, str(seconds)]

    def gosign(self):
        program = self.peers / "gosign"
        environment = dict(os.environ, CGO_ENABLED="1")
        run("go", "-C", ROOT / "scripts/bench.d/gosign", "build", "-o", program, ".", env=environment)
        return lambda seconds: [program, str(seconds)]

    def tronpy(self, kernel):
        script = ROOT / "scripts/bench.d/tronpy_kernels.py"
        return lambda seconds: [self.peers / "python/bin/python", script, kernel, str(seconds)]


def versions(peers):
    lines = (line.split() for line in run("scripts/peers", *peers).splitlines())
    return {name: version for name, version in lines}


def contest(name, title, contestants, arguments):
    """Runs what `contestants(setup)` lists, the bound first, and prints the table."""
    built_from = commit()
    setup = Setup()
    contestants = contestants(setup)
    environment = dict(os.environ, SEEDRAIL_PEERS=str(setup.peers), NODE_NO_WARNINGS="1")
    measured = {label: [] for label, _ in contestants}
    for number in range(arguments.rounds):
        for label, command in contestants:
            print(f"round {number + 1} of {arguments.rounds}: {label}", file=sys.stderr)
            measured[label].append(json.loads(run(*command(arguments.seconds), env=environment)))

    def median(label, rate):
        return statistics.median(rate(result) for result in measured[label])

    per_cpu = {label: median(label, lambda r: r["ops"] / r["cpu_s"]) for label in measured}
    bound = per_cpu[contestants[0][0]]
    heading(name, title, built_from, f"{arguments.rounds} rounds of {arguments.seconds:g} s")
    print(", ".join(f"{name} {version}" for name, version in versions(("javascript", "python")).items()) + ".\n")
    print("| | per CPU-second | of the bound | per second | CPU-s per s |")
    print("|---|---:|---:|---:|---:|")
    for label in measured:
        wall = median(label, lambda r: r["ops"] / r["wall_s"])
        load = median(label, lambda r: r["cpu_s"] / r["wall_s"])
        print(f"| {label} | {per_cpu[label]:,.0f} | {per_cpu[label] / bound:.3f} | {wall:,.0f} | {load:.2f} |")

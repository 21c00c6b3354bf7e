"""Hostile peers on loopback: a seeder with a limit of 4 MiB/s, an honest downloader of 32 MiB, and twenty attackers
(500 that are idle), beside the same without attackers. The seeder, and so the victim, is ours and libtorrent in turn; the
downloader is always ours.

Processor seconds are the victim's while the honest download runs; memory is its peak.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_swarm import HERE, SEEDRAIL, cpu_of, free_port, listens, peak_of, wait_for
from measure import commit, heading, run

MIB = 1 << 20
SIZE, LIMIT = 32 * MIB, 4 * MIB
ATTACKS = ("none", "chokes", "bitfields", "haves", "requests", "ports", "keep-alives", "idle")
VICTIMS = ("ours", "libtorrent")
# Longer than this, an honest download counts as kept out.
DEADLINE = 60


class Siege:
    def __init__(self, folder, python):
        self.folder, self.python = folder, python
        self.content = folder / "seeds/content.bin"
        self.content.parent.mkdir()
        self.content.write_bytes(os.urandom(SIZE))
        self.torrent = folder / "content.torrent"
        run(SEEDRAIL, "torrent", "create", self.content, "-o", self.torrent)

    def start(self, command, home):
        return subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.DEVNULL, env=dict(os.environ, SEEDRAIL_HOME=str(self.folder / home)))

    def once(self, victim, attack):
        """Seconds of the honest download, processor seconds and peak MiB of the victim."""
        port = free_port()
        quiet = ["--no-dht", "--no-lsd", "--no-port-map"]
        seeders = {
            "ours": [SEEDRAIL, "seed", self.torrent, "--content", self.content, "--listen", f"127.0.0.1:{port}",
                     "--up-limit", f"{LIMIT // MIB}MiB/s", *quiet],
            "libtorrent": [self.python, HERE / "libtorrent_peer.py", "seed", self.content.parent, self.torrent, port, LIMIT],
        }
        children = [self.start(seeders[victim], "seeder")]
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        try:
            wait_for(lambda: listens(port), f"the seeder {victim}")
            if victim == "libtorrent":
                children[0].stdout.readline()
            if attack != "none":
                children.append(self.start([sys.executable, HERE / "hostile_peer.py", attack, "127.0.0.1", port, self.torrent],
                                           "attacker"))
                children[-1].stdout.readline()
            before, start = cpu_of(children[0].pid), time.monotonic()
            get = [SEEDRAIL, "get", self.torrent, "-o", out, "--listen", f"127.0.0.1:{free_port()}", "--peer",
                   f"127.0.0.1:{port}", *quiet]
            children.append(self.start(get, "leecher"))
            try:
                ended = children[-1].wait(DEADLINE)
            except subprocess.TimeoutExpired:
                return None, cpu_of(children[0].pid) - before, peak_of(children[0].pid) / 1024
            if ended != 0:
                sys.exit(f"scripts/bench: {victim}, {attack}: the honest downloader ended with {ended}")
            seconds = time.monotonic() - start
            return seconds, cpu_of(children[0].pid) - before, peak_of(children[0].pid) / 1024
        finally:
            for child in children:
                child.kill()
                child.wait()


def shown(values):
    """The median; a download that was kept out took longer than any other."""
    median = statistics.median(float("inf") if value is None else value for value in values)
    return f"over {DEADLINE}" if median == float("inf") else f"{median:.1f}"


def main(arguments):
    measured = commit()
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    run("scripts/peers", "swarm")
    python = Path(run("scripts/peers", "--where").strip()) / "swarm/bin/python"
    results = {(attack, victim): [] for attack in ATTACKS for victim in VICTIMS if arguments.only in (None, attack, victim)}
    with tempfile.TemporaryDirectory(prefix="seedrail-bench-") as folder:
        siege = Siege(Path(folder), python)
        for number in range(arguments.rounds):
            for attack, victim in results:
                print(f"round {number + 1} of {arguments.rounds}: {attack} against {victim}", file=sys.stderr)
                results[attack, victim].append(siege.once(victim, attack))
                print(f"  {results[attack, victim][-1]}", file=sys.stderr)
    heading("hostile", "Hostile peers", measured, f"{arguments.rounds} rounds")
    print(f"{SIZE // MIB} MiB from a seeder at {LIMIT // MIB} MiB/s: {SIZE / LIMIT:.0f} s at least.\n")
    print("| attack | victim | honest download, s | victim's processor seconds | peak MiB |")
    print("|---|---|---:|---:|---:|")
    for (attack, victim), rounds in results.items():
        seconds, processor, peak = zip(*rounds)
        print(f"| {attack} | {victim} | {shown(seconds)} | {shown(processor)} | {statistics.median(peak):.0f} |")

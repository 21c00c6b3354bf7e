"""Peers of very different speed on loopback: one seeder, eight downloaders with upload limits from 16 KiB/s to 8 MiB/s,
one peer that chokes and one that stalls. All but these two are of one program: ours, ours that pay each other, libtorrent,
aria2, transmission, in turn.

A download is over when all its bytes are in its file; everybody goes on sharing until the last one is. All of it runs
in a network of its own (`unshare --net`): transmission dials nobody at 127.0.0.1 and knows one peer an address, so
each of its peers has an address of its own there.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_swarm import HERE, SEEDRAIL, free_port, listens, wait_for
from measure import ROOT, commit, heading, run

KIB, MIB = 1 << 10, 1 << 20
SEEDER = 3 * MIB
UPLOADS = (16 * KIB, 64 * KIB, 256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB)
SIZE, PIECE = 32 * MIB, 256 * KIB
BAD = ("choking", "stalling")
CASES = ("ours", "ours, paying", "libtorrent", "aria2", "transmission")
BID, ASK = "20BTT/GiB", "5BTT/GiB"
LOCALHOST = "127.0.0.1"
INSIDE = [f"10.77.0.{number + 1}" for number in range(len(UPLOADS) + len(BAD) + 1)]
ENTERED = "SEEDRAIL_BENCH_NETWORK"
# Nothing here takes so long.
DEADLINE = 300


def rate(bytes_per_second):
    return f"{bytes_per_second // KIB}KiB/s"


class Swarm:
    """One round of one program."""

    def __init__(self, case, folder, content, python, keys, node):
        self.case, self.folder, self.content = case, folder, content
        self.python, self.keys, self.node = python, keys, node
        self.hosts = list(INSIDE) if case == "transmission" else [LOCALHOST] * len(INSIDE)
        self.children = []

    def start(self, *command, **environment):
        log = open(self.folder / f"{len(self.children)}.log", "wb")
        child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 env=dict(os.environ, HOME=str(self.folder), **environment))
        self.children.append(child)

    def download(self):
        """Seconds until each place is done, the seconds that its last hundredth took, and what share of its line the
        seeder used until the last place was done. Starts everybody, and ends everybody."""
        try:
            port = free_port()
            self.tracker = f"http://{self.hosts[0]}:{port}/announce"
            self.start(SEEDRAIL, "tracker", "--listen", f"{self.hosts[0]}:{port}", "--interval", "10s",
                       SEEDRAIL_HOME=str(self.folder / "tracker"))
            wait_for(lambda: listens(port), "the tracker")
            self.torrent = self.folder / "content.torrent"
            run(SEEDRAIL, "torrent", "create", self.content, "-o", self.torrent, "--tracker", self.tracker,
                "--piece-size", str(PIECE))
            self.peer(self.content.parent, SEEDER, seeds=True)
            for manner in BAD:
                port = free_port()
                self.start(sys.executable, HERE / "scripted_peer.py", manner, self.hosts.pop(), port, self.torrent, self.content, self.tracker)
                wait_for(lambda: listens(port), f"the {manner} peer")
            start = time.monotonic()
            outs = []
            for number, limit in enumerate(UPLOADS):
                outs.append(self.folder / f"out{number}")
                outs[-1].mkdir()
                self.peer(outs[-1], limit, seeds=False, number=number)
            return self.watch(start, outs)
        finally:
            for child in self.children:
                child.terminate()
            for child in self.children:
                try:
                    child.wait(10)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()

    def watch(self, start, outs):
        nearly, done = [None] * len(outs), [None] * len(outs)
        while None in done:
            now = time.monotonic() - start
            if now > DEADLINE:
                sys.exit(f"scripts/bench: {self.case}: not done in time: {done}; see {self.keep()}")
            for number, out in enumerate(outs):
                if done[number] is not None:
                    continue
                if any(child.poll() is not None for child in self.children):
                    sys.exit(f"scripts/bench: {self.case}: a program has ended; see {self.keep()}")
                try:
                    there = (out / self.content.name).stat().st_blocks * 512
                except FileNotFoundError:
                    continue
                if nearly[number] is None and there >= SIZE * 99 // 100:
                    nearly[number] = now
                if there >= SIZE:
                    done[number] = now
            time.sleep(0.02)
        return done, [end - at for end, at in zip(done, nearly)]

    def keep(self):
        """What was printed, where it stays."""
        kept = tempfile.mkdtemp(prefix="seedrail-mixed-")
        for log in self.folder.glob("*.log"):
            shutil.copy(log, kept)
        return kept

    def peer(self, folder, limit, seeds, number=None):
        port = free_port()
        if self.case.startswith("ours"):
            self.ours(folder, limit, seeds, port, number)
        elif self.case == "libtorrent":
            role = "seed" if seeds else "share"
            self.start(self.python, HERE / "libtorrent_peer.py", role, folder, self.torrent, port, limit)
        elif self.case == "aria2":
            self.start("aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
                       "--file-allocation=none", "--seed-ratio=0.0", f"--bt-seed-unverified={str(seeds).lower()}",
                       f"--listen-port={port}", f"--max-overall-upload-limit={limit}", f"--dir={folder}", self.torrent)
        else:
            self.transmission(folder, limit, port)
        wait_for(lambda: listens(port), f"a peer of {self.case}")

    def ours(self, folder, limit, seeds, port, number):
        pays = self.case.endswith("paying")
        home = self.folder / ("seeder" if seeds else f"home{number}")
        common = ["--listen", f"127.0.0.1:{port}", "--up-limit", rate(limit), "--no-dht", "--no-lsd", "--no-port-map"]
        environment = {"SEEDRAIL_HOME": str(home)}
        if pays:
            common += ["--ask", ASK]
            key = self.keys[0 if seeds else number + 1]
            environment |= {"SEEDRAIL_PRIVATE_KEY": key, "SEEDRAIL_NODE": self.node, "SEEDRAIL_NETWORK": "devnet"}
        if seeds:
            self.start(SEEDRAIL, "seed", self.torrent, "--content", self.content, *common, **environment)
        else:
            bid = ["--bid", BID] if pays else []
            self.start(SEEDRAIL, "get", self.torrent, "-o", folder, "--seed", *bid, *common, **environment)

    def transmission(self, folder, limit, port):
        rpc, home = free_port(), self.folder / f"transmission{port}"
        home.mkdir()
        settings = {"peer-port": port, "rpc-port": rpc, "bind-address-ipv4": self.hosts.pop(), "rpc-bind-address": "127.0.0.1",
                    "rpc-whitelist-enabled": False, "dht-enabled": False, "lpd-enabled": False, "utp-enabled": False,
                    "port-forwarding-enabled": False, "preallocation": 0, "speed-limit-up-enabled": True,
                    "speed-limit-up": max(1, limit // 1000), "cache-size-mb": 0, "peer-limit-per-torrent": 60,
                    "ratio-limit-enabled": False, "upload-slots-per-torrent": 8}
        (home / "settings.json").write_text(json.dumps(settings))
        self.start("transmission-daemon", "--foreground", "--config-dir", home)
        wait_for(lambda: listens(rpc), "a daemon of transmission")
        run("transmission-remote", str(rpc), "--add", str(self.torrent), "--download-dir", str(folder))


class Chain:
    """A devnet with an account for everybody who pays or is paid."""

    def __init__(self, folder):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(folder / "devnet.log", "w+")
        self.child = subprocess.Popen([SEEDRAIL, "devnet", "--port", str(port), "--accounts", str(len(UPLOADS) + 1), "--json"],
                                      stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT,
                                      env=dict(os.environ, SEEDRAIL_HOME=str(folder / "chain")))
        wait_for(lambda: listens(port), "the devnet")
        wait_for(lambda: "\n" in Path(self.log.name).read_text(), "the devnet's accounts")
        said = json.loads(Path(self.log.name).read_text().splitlines()[0])
        self.keys = [account["private_key"] for account in said["accounts"]]

    def end(self):
        self.child.terminate()
        self.child.wait()


def enter(arguments):
    """Builds what is needed and starts this benchmark again in a network of its own."""
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    run("scripts/peers", "swarm")
    again = [sys.executable, str(ROOT / "scripts/bench"), "mixed", "--rounds", str(arguments.rounds)]
    again += ["--only", arguments.only] if arguments.only else []
    addresses = " && ".join(f"ip address add {host}/24 dev lo" for host in INSIDE)
    network = f'ip link set lo up && {addresses} && exec "$@"'
    os.environ[ENTERED] = "yes"
    os.execvp("unshare", ["unshare", "--map-root-user", "--net", "sh", "-c", network, "sh", *again])


def main(arguments):
    if ENTERED not in os.environ:
        enter(arguments)
    measured = commit()
    python = Path(run("scripts/peers", "--where").strip()) / "swarm/bin/python"
    cases = [case for case in CASES if arguments.only in (None, case)]
    results = {case: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="seedrail-bench-") as folder:
        folder = Path(folder)
        content = folder / "seeds/content.bin"
        content.parent.mkdir()
        content.write_bytes(os.urandom(SIZE))
        chain = Chain(folder)
        try:
            for number in range(arguments.rounds):
                for case in cases:
                    print(f"round {number + 1} of {arguments.rounds}: {case}", file=sys.stderr)
                    own = folder / "round"
                    own.mkdir()
                    swarm = Swarm(case, own, content, python, chain.keys, chain.url)
                    results[case].append(swarm.download())
                    print("  " + " ".join(f"{seconds:.1f}" for seconds in results[case][-1][0]), file=sys.stderr)
                    shutil.rmtree(own)
        finally:
            chain.end()
    heading("mixed", "Peers of very different speed", measured, f"{arguments.rounds} rounds")
    least = max(SIZE / SEEDER, len(UPLOADS) * SIZE / (SEEDER + sum(UPLOADS)))
    print(f"One seeder at {SEEDER // MIB} MiB/s, content of {SIZE // MIB} MiB. Nobody can make the last finish before {least:.1f} s.\n")
    columns = [f"{limit // KIB} KiB/s" if limit < MIB else f"{limit // MIB} MiB/s" for limit in UPLOADS]
    print(f"| seconds to complete, by own upload | {' | '.join(columns)} | median | last | last 1 %, longest |")
    print("|---|" + "---:|" * (len(columns) + 3))
    for case, rounds in results.items():
        places = [statistics.median(done[place] for done, _ in rounds) for place in range(len(UPLOADS))]
        median = statistics.median(statistics.median(done) for done, _ in rounds)
        last = statistics.median(max(done) for done, _ in rounds)
        tail = statistics.median(max(tails) for _, tails in rounds)
        print(f"| {case} | {' | '.join(f'{place:.1f}' for place in places)} | {median:.1f} | {last:.1f} | {tail:.1f} |")

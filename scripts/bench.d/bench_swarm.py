"""One seeder, one downloader, on loopback: ours, aria2 and libtorrent, with themselves and with each other. The bound is
benches/bound."""

import contextlib
import http.server
import json
import mmap
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from measure import ROOT, benchmark, commit, heading, run

SEEDRAIL = ROOT / "target/dist/seedrail"
HERE = Path(__file__).resolve().parent
PIECES = (("1 MiB", 1 << 20), ("4 MiB", 4 << 20))
TICKS = os.sysconf("SC_CLK_TCK")
ARIA = ["--enable-dht=false", "--bt-enable-lpd=false", "--file-allocation=none", "--console-log-level=error",
        "--summary-interval=0", "--show-console-readout=false"]
# How a program is told what to run on; libtorrent_peer.py and the bound are told by name.
LINKS = {
    "tcp": {"ours": [], "aria2": []},
    "rc4": {"ours": ["--encryption", "require"],
            "aria2": ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"]},
    "utp": {"ours": ["--no-tcp"]},
}
# Nothing here takes so long.
DEADLINE = 300


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Tracker(http.server.ThreadingHTTPServer):
    """Names the seeder to everybody, so that every program finds it in the same way."""

    daemon_threads = True
    seeder = 0

    def handle_error(self, *_):
        """A program that ends does not wait for the answer to its last announce."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            peer = bytes([127, 0, 0, 1]) + self.server.seeder.to_bytes(2, "big")
            body = b"d8:intervali1800e5:peers6:" + peer + b"e"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/announce"


class Memory:
    """Free memory that the virtual machine keeps. What a guest frees may go back to the host a second later, and
    the next write to it costs ten times a write: without this, that would be most of what is measured. One page in
    two megabytes stays in use, so that the rest is free in pieces too small to be given back."""

    PAGE, BLOCK = 4096, 2 << 20

    def __init__(self, size):
        self.map = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.map.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, size, self.PAGE):
            self.map[at] = 1
        for at in range(0, size, self.BLOCK):
            rest = min(self.BLOCK, size - at) - self.PAGE
            if rest > 0:
                self.map.madvise(mmap.MADV_DONTNEED, at + self.PAGE, rest)


class Bench:
    """`folder` holds the content, `out` what is downloaded."""

    def __init__(self, folder, size, out=None):
        self.folder, self.size = Path(folder), size
        self.out = Path(out or folder) / "out"
        run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
        self.bound = benchmark("bound")
        run("scripts/peers", "swarm")
        self.python = Path(run("scripts/peers", "--where").strip()) / "swarm/bin/python"
        self.tracker = Tracker()
        self.content = self.folder / "seeds/content.bin"
        self.content.parent.mkdir()
        with open(self.content, "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
        self.torrents = {}
        for label, length in PIECES:
            torrent = self.folder / f"{length}.torrent"
            run(SEEDRAIL, "torrent", "create", self.content, "-o", torrent, "--tracker", self.tracker.url,
                "--piece-size", str(length))
            self.torrents[label] = torrent

    def info_hash(self, pieces):
        shown = run(SEEDRAIL, "torrent", "show", self.torrents[pieces], "--json")
        return json.loads(shown)["info_hash"]

    def seeder(self, program, torrent, pieces, port, link):
        told = LINKS[link].get(program, [])
        return {
            "ours": [SEEDRAIL, "seed", self.content, "--piece-size", pieces, "--listen", f"127.0.0.1:{port}", *told],
            "aria2": ["aria2c", *ARIA, *told, "--seed-ratio=0.0", "--bt-seed-unverified=true", f"--listen-port={port}",
                      f"--dir={self.content.parent}", torrent],
            "libtorrent": [self.python, HERE / "libtorrent_peer.py", "seed", self.content.parent, torrent, str(port)],
            "bound": [self.bound, "send", str(port), self.content, link],
        }[program]

    def leecher(self, program, torrent, port, out, link):
        told = LINKS[link].get(program, [])
        return {
            "ours": [SEEDRAIL, "get", torrent, "-o", out, "--json", "--listen", f"127.0.0.1:{free_port()}", *told],
            "aria2": ["aria2c", *ARIA, *told, "--seed-time=0", f"--listen-port={free_port()}", f"--dir={out}", torrent],
            "libtorrent": [self.python, HERE / "libtorrent_peer.py", "leech", out, torrent, str(free_port())],
            "bound": [self.bound, "receive", str(port), out / "content.bin", str(self.size), link],
        }[program]

    def environment(self, link):
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        return dict(os.environ, SEEDRAIL_HOME=str(home), BENCH_LINK=link)

    @contextlib.contextmanager
    def serving(self, seeder, pieces, link):
        """A seeder that serves, and its port."""
        port = free_port()
        says = subprocess.PIPE if seeder == "libtorrent" else subprocess.DEVNULL
        seed = subprocess.Popen(self.seeder(seeder, self.torrents[pieces], pieces.replace(" ", ""), port, link), stdout=says,
                                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment(link))
        try:
            wait_for(lambda: listens(port, "udp" if link == "utp" else "tcp"), f"the seeder {seeder}")
            if seed.stdout:
                seed.stdout.readline()
            self.tracker.seeder = port
            yield seed, port
        finally:
            seed.kill()
            seed.wait()

    def transfer(self, seeder, leecher, pieces, link="tcp", is_cold=False):
        """Megabytes a second, CPU-seconds per GiB and peak MiB of both sides. With a cold cache the content is read from
        its disk."""
        out = self.out
        with self.serving(seeder, pieces, link) as (seed, port):
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            if is_cold:
                forget(self.content)
            before = cpu_of(seed.pid)
            start = time.monotonic()
            leech = subprocess.Popen(self.leecher(leecher, self.torrents[pieces], port, out, link), stdout=subprocess.PIPE,
                                     text=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env=dict(os.environ, SEEDRAIL_HOME=str(self.folder / "home"), BENCH_LINK=link))
            timer = threading.Timer(DEADLINE, leech.kill)
            timer.start()
            peak = Peak(leech.pid)
            output = leech.stdout.read()
            peak.ended.set()
            _, status, usage = os.wait4(leech.pid, 0)
            leech.returncode = os.waitstatus_to_exitcode(status)
            timer.cancel()
            wall = time.monotonic() - start
            if leech.returncode != 0:
                sys.exit(f"scripts/bench: {seeder} -> {leecher}: the downloader ended with {leech.returncode}")
            seed_cpu = cpu_of(seed.pid) - before
            seed_peak = peak_of(seed.pid)
        if (out / "content.bin").stat().st_size != self.size:
            sys.exit(f"scripts/bench: {seeder} -> {leecher}: the download is not as long as the content")
        seconds = {
            "ours": lambda: json.loads(output.splitlines()[-1])["seconds"],
            "aria2": lambda: wall,
        }.get(leecher, lambda: float(output))()
        gib = self.size / (1 << 30)
        shutil.rmtree(out)
        return {"rate": self.size / 1e6 / seconds, "down_cpu": (usage.ru_utime + usage.ru_stime) / gib,
                "seed_cpu": seed_cpu / gib, "down_peak": peak.kib / 1024, "seed_peak": seed_peak / 1024}


class Peak:
    """The peak memory of a process that will be gone when it is asked for: looked at until its output ends. What the
    system tells of an ended process includes the memory of the one that started it."""

    def __init__(self, pid):
        self.kib, self.ended = 0, threading.Event()
        threading.Thread(target=self.watch, args=(pid,), daemon=True).start()

    def watch(self, pid):
        while True:
            try:
                self.kib = max(self.kib, peak_of(pid))
            except OSError:  # it has ended
                return
            if self.ended.wait(0.02):
                return


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"scripts/bench: {what} was not ready in time")
        time.sleep(0.05)


def listens(port, protocol="tcp"):
    """Whether a socket of this machine listens there; nobody is disturbed by asking."""
    wanted, state = f":{port:04X}", {"tcp": "0A", "udp": "07"}[protocol]
    for table in (protocol, f"{protocol}6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == state:
                return True
    return False


def forget(path):
    """Drops a file from the system's cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_of(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


PAIRS = (("bound", "bound"), ("ours", "ours"), ("aria2", "aria2"), ("libtorrent", "libtorrent"),
         ("ours", "libtorrent"), ("libtorrent", "ours"), ("ours", "aria2"), ("aria2", "ours"))


def main(arguments):
    measured = commit()
    with tempfile.TemporaryDirectory(prefix="seedrail-bench-") as folder:
        bench = Bench(folder, arguments.size)
        memory = Memory(arguments.size + arguments.size // 2)
        # `--only own`: every program with itself.
        pairs = [pair for pair in PAIRS
                 if arguments.only in (None, "-".join(pair)) or (arguments.only == "own" and pair[0] == pair[1])]
        results = {(pair, label): [] for pair in pairs for label, _ in PIECES}
        for number in range(arguments.rounds):
            for pair, label in results:
                print(f"round {number + 1} of {arguments.rounds}: {' -> '.join(pair)}, {label}", file=sys.stderr)
                results[pair, label].append(bench.transfer(*pair, label))
        memory.map.close()
        versions = run("scripts/peers", "swarm").split()
    heading("swarm", "BitTorrent, one seeder, one downloader, loopback", measured,
            f"{arguments.rounds} rounds of {arguments.size >> 20} MiB")
    print(", ".join(" ".join(pair) for pair in zip(versions[::2], versions[1::2])) + ".\n")
    print("| seeder → downloader | pieces | MB/s | CPU-s per GiB, downloader | seeder | both | peak MiB, downloader | seeder |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for (pair, label), rows in results.items():
        row = {key: statistics.median(one[key] for one in rows) for key in rows[0]}
        print(f"| {' → '.join(pair)} | {label} | {row['rate']:.0f} | {row['down_cpu']:.2f} | {row['seed_cpu']:.2f} "
              f"| {row['down_cpu'] + row['seed_cpu']:.2f} | {row['down_peak']:.0f} | {row['seed_peak']:.0f} |")

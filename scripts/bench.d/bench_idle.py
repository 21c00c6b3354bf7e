"""A thousand torrents that nobody downloads: the memory and the processor that seeding them takes."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, commit, heading, memory_of, run

SEEDRAIL = ROOT / "target/dist/seedrail"
TORRENTS = 1000
# After the first announces; a minute is two of the tracker's turns.
SETTLE, WATCH = 20, 60
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def status(pid, key):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def once(folder):
    """Memory in MiB, processor in percent, threads and open files."""
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True,
             "env": dict(os.environ, SEEDRAIL_HOME=str(folder / "home"))}
    tracker = subprocess.Popen([SEEDRAIL, "tracker", "--listen", "127.0.0.1:0", "--interval", "30s", "--json"],
                               stdout=subprocess.PIPE, **quiet)
    url = json.loads(tracker.stdout.readline())["url"]
    files = sorted((folder / "seeds").iterdir())
    seed = subprocess.Popen([SEEDRAIL, "seed", *files, "--listen", "127.0.0.1:0", "--tracker", url, "--json"],
                            stdout=subprocess.PIPE, **quiet)
    try:
        seeding = 0
        while seeding < TORRENTS:
            line = seed.stdout.readline()
            if not line:
                sys.exit("scripts/bench: the seeder ended")
            seeding += json.loads(line)["event"] == "seeding"
        drain = subprocess.Popen(["cat"], stdin=seed.stdout, stdout=subprocess.DEVNULL)
        time.sleep(SETTLE)
        before = cpu_of(seed.pid)
        time.sleep(WATCH)
        cpu = cpu_of(seed.pid) - before
        memory, _ = memory_of(seed.pid)
        return {"memory": memory / 1024, "peak": status(seed.pid, "VmHWM:") / 1024, "cpu": 100 * cpu / WATCH,
                "threads": status(seed.pid, "Threads:"), "files": len(os.listdir(f"/proc/{seed.pid}/fd"))}
    finally:
        seed.kill()
        seed.wait()
        tracker.kill()
        tracker.wait()
        drain.wait()


def main(arguments):
    measured = commit()
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    with tempfile.TemporaryDirectory(prefix="seedrail-bench-") as folder:
        folder = Path(folder)
        (folder / "seeds").mkdir()
        for number in range(TORRENTS):
            (folder / f"seeds/{number:04}.bin").write_bytes(os.urandom(256 << 10))
        results = []
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            results.append(once(folder))
    heading("idle", "A thousand idle torrents", measured, f"{arguments.rounds} rounds")
    print(f"{TORRENTS} torrents of 256 KiB seeded by one process, announced every 30 s to a tracker beside it, watched for {WATCH} s.\n")
    print("| | median | lowest | highest |")
    print("|---|---:|---:|---:|")
    for label, key, form in (("memory, MiB", "memory", ".1f"), ("peak, hashing included, MiB", "peak", ".1f"),
                             ("processor, percent of one", "cpu", ".2f"), ("threads", "threads", ".0f"), ("open files", "files", ".0f")):
        values = [result[key] for result in results]
        print(f"| {label} | {statistics.median(values):{form}} | {min(values):{form}} | {max(values):{form}} |")

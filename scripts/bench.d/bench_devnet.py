"""The devnet: how soon it answers, what it takes idle, and how many TRC-10 transfers a second it takes in."""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request

from measure import ROOT, benchmark, commit, heading, memory_of, run

COUNT = 20_000
OPCODES = 10_000_000
CONNECTIONS = 16
# A node in Java on another day and machine (one witness, warm, fees as on mainnet): it cannot be installed here.
JAVA_TRON = {"accepted": (260, 370), "included": (200, 320), "start": 25_000, "idle": 500}


class Process:
    """A devnet of its own, ended with the block."""

    def __init__(self, *options):
        self.begin = time.monotonic()
        self.child = subprocess.Popen([ROOT / "target/dist/seedrail", "devnet", "--json", "--port", "0", *options],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.url = json.loads(self.child.stdout.readline())["url"]
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()


def race():
    """Builds what runs a loop of opcodes here and by revm, and says where it is."""
    folder = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target")) + "/race"
    flags = {**os.environ, "RUSTFLAGS": "--cfg=fuzzing"}
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet", "--manifest-path", "fuzz/revm/Cargo.toml",
        "--example", "race", "--target-dir", folder, env=flags)
    return folder + "/dist/examples/race"


def start_and_idle():
    with Process() as devnet:
        urllib.request.urlopen(f"{devnet.url}/wallet/getnowblock", data=b"").read()
        started = (time.monotonic() - devnet.begin) * 1000
        time.sleep(2)
        return started, memory_of(devnet.child.pid)[0] / 1024


def main(arguments):
    measured = commit()
    run("cargo", "build", "--profile", "dist", "--locked", "--quiet")
    bench, cores, bare = benchmark("devnet"), os.cpu_count(), race()
    rows = {}

    def note(label, value):
        rows.setdefault(label, []).append(value)

    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
        started, idle = start_and_idle()
        note("start", started)
        note("idle", idle)
        raw = json.loads(run(bench, "recover", str(COUNT), str(cores)))
        note("recover", raw["ops"] / raw["wall_s"])
        inside = json.loads(run(bench, "process", str(COUNT), str(cores)))
        note("process", inside["ops"] / inside["wall_s"])
        note("seal", inside["seal_ms"])
        contract = json.loads(run(bench, "trc20", str(COUNT), str(cores)))
        note("trc20", contract["ops"] / contract["wall_s"])
        loop = json.loads(run(bench, "opcodes", str(OPCODES)))
        note("opcodes", loop["ops"] / loop["wall_s"] / 1e6)
        both = json.loads(run(bare, str(OPCODES)))
        note("bare", both["ops"] / both["ours_s"] / 1e6)
        note("revm", both["ops"] / both["revm_s"] / 1e6)
        with Process("--block-time", "100ms") as devnet:
            outside = json.loads(run(bench, "http", str(COUNT), str(CONNECTIONS), devnet.url))
            note("peak", memory_of(devnet.child.pid)[0] / 1024)
        note("accepted", outside["ops"] / outside["wall_s"])
        note("included", outside["ops"] / outside["included_s"])

    m = {label: statistics.median(values) for label, values in rows.items()}
    heading("devnet", "The devnet", measured, f"{arguments.rounds} rounds of {COUNT:,} TRC-10 transfers")
    print(f"Over HTTP by {CONNECTIONS} connections, blocks every 100 ms, client and node on the same cores.\n")
    print("| | seedrail | java-tron, 2026-11-22 | bound or goal |")
    print("|---|---:|---:|---:|")
    print(f"| start to first answer, ms | {m['start']:.0f} | {JAVA_TRON['start']:,} | < 50 |")
    print(f"| memory when idle (PSS), MiB | {m['idle']:.0f} | {JAVA_TRON['idle']} | < 30 |")
    print(f"| signatures recovered by {cores} threads, a second | {m['recover']:,.0f} | – | bound |")
    ratio = m["process"] / m["recover"]
    print(f"| submitted in process until in blocks, a second | {m['process']:,.0f} | – | {ratio:.2f} of the bound; 0.7 |")
    print(f"| the same with transfers of a TRC-20 token, a second | {m['trc20']:,.0f} | – | |")
    print(f"| a loop of {OPCODES:,} opcodes, called over HTTP, million a second | {m['opcodes']:,.0f} | – | |")
    ratio = m["bare"] / m["revm"]
    print(f"| the same loop in the bare machine | {m['bare']:,.0f} | – | {ratio:.2f} of revm's {m['revm']:,.0f}; 0.7 |")
    for key, label in (("accepted", "accepted over HTTP"), ("included", "over HTTP until in blocks")):
        low, high = JAVA_TRON[key]
        print(f"| {label}, a second | {m[key]:,.0f} | {low}–{high} | {m[key] / high:.0f} × its best; 20 × |")
    print(f"| a block of 2,000 sealed, ms | {m['seal']:.1f} | – | < 50 |")
    print(f"| memory after {COUNT:,} transfers (PSS), MiB | {m['peak']:.0f} | – | |")

"""As `swarm`, on other links: enciphered with RC4, on uTP, to 50 downloaders at once, and from a disk that nothing was read from yet.

Each program serves itself, but for the 50 downloaders: those are 50 threads of benches/bound, each of another network,
that keep nothing, so that the seeder alone is measured. aria2 is not among the seeders there: it serves a few at once and
leaves the others waiting, so that 50 take minutes.
"""

import statistics
import sys
import tempfile

from bench_swarm import Bench, DEADLINE, Memory, cpu_of, peak_of
from measure import commit, heading, run

PIECES = "1 MiB"
DOWNLOADERS = 50
CASES = {"rc4": ("bound", "ours", "aria2", "libtorrent"), "utp": ("bound", "ours", "libtorrent"),
         "cold": ("bound", "ours", "aria2", "libtorrent"), "crowd": ("bound", "ours", "libtorrent")}
WORDS = {"rc4": "enciphered (RC4)", "utp": "uTP", "cold": "cold cache", "crowd": f"{DOWNLOADERS} downloaders"}


def crowded(bench, seeder):
    """What a seeder sends to all of them a second, in megabytes, its CPU-seconds per GiB and its peak MiB."""
    with bench.serving(seeder, PIECES, "tcp") as (seed, port):
        before = cpu_of(seed.pid)
        end = [str(port), str(DOWNLOADERS), str(bench.size)]
        how = ["drain", *end] if seeder == "bound" else ["take", *end, str(1 << 20), bench.info_hash(PIECES)]
        seconds = float(run(bench.bound, *how, timeout=DEADLINE))
        sent = DOWNLOADERS * bench.size
        return {"rate": sent / 1e6 / seconds, "down_cpu": 0, "seed_cpu": (cpu_of(seed.pid) - before) / (sent / (1 << 30)),
                "down_peak": 0, "seed_peak": peak_of(seed.pid) / 1024}


def measured(case, bench, crowd, program):
    if case == "crowd":
        return crowded(crowd, program)
    link = "tcp" if case == "cold" else case
    return bench.transfer(program, program, PIECES, link, is_cold=case == "cold")


def main(arguments):
    at = commit()
    chosen = [case for case in CASES if arguments.only in (None, case)]
    results = {(case, program): [] for case in chosen for program in CASES[case]}
    # The content is on a disk, what is downloaded in memory.
    with (tempfile.TemporaryDirectory(prefix="seedrail-bench-", dir="/var/tmp") as folder,
          tempfile.TemporaryDirectory(prefix="seedrail-bench-", dir="/dev/shm") as out,
          tempfile.TemporaryDirectory(prefix="seedrail-bench-", dir="/var/tmp") as small):
        bench = Bench(folder, arguments.size, out)
        crowd = Bench(small, arguments.size // 32)
        memory = Memory(arguments.size)
        for number in range(arguments.rounds):
            for case, program in results:
                print(f"round {number + 1} of {arguments.rounds}: {case}, {program}", file=sys.stderr)
                results[case, program].append(measured(case, bench, crowd, program))
                print(f"  {results[case, program][-1]['rate']:.0f} MB/s", file=sys.stderr)
        memory.map.close()
        versions = run("scripts/peers", "swarm").split()
    heading("links", "BitTorrent on other links", at, f"{arguments.rounds} rounds of {arguments.size >> 20} MiB")
    print(", ".join(" ".join(pair) for pair in zip(versions[::2], versions[1::2])) + ".\n")
    print("| | program | MB/s | CPU-s per GiB, downloader | seeder | peak MiB, downloader | seeder |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (case, program), rows in results.items():
        row = {key: statistics.median(one[key] for one in rows) for key in rows[0]}
        down = [f"{row['down_cpu']:.2f}", f"{row['down_peak']:.0f}"] if case != "crowd" else ["", ""]
        print(f"| {WORDS[case]} | {program} | {row['rate']:.0f} | {down[0]} | {row['seed_cpu']:.2f} | {down[1]} "
              f"| {row['seed_peak']:.0f} |")

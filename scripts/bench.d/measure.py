"""What every benchmark of this folder shares: running, naming what was measured, memory."""

import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*command, **options):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"scripts/bench: `{' '.join(map(str, command))}` ended with {done.returncode}")
    return done.stdout


def benchmark(name, *options):
    """Builds one of benches/ and says where the program is."""
    messages = run("cargo", "bench", "--locked", "--quiet", "--no-run", "--bench", name, *options,
                   "--message-format", "json")
    for line in messages.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == name:
            return message["executable"]
    sys.exit(f"scripts/bench: cargo built no benchmark `{name}`")


def commit():
    """What is measured, with a + when the tree differs from it."""
    dirty = run("git", "status", "--porcelain", "--", "src", "benches", "Cargo.lock").strip()
    return run("git", "rev-parse", "--short=12", "HEAD").strip() + ("+" if dirty else "")


def heading(name, title, measured, sample):
    print(f"### {title}\n")
    print(f"{date.today()}, commit {measured}, {processor()}, {os.cpu_count()} virtual processors, ", end="")
    print(f"`scripts/bench {name}`: medians of {sample}.")


def memory_of(pid):
    """Proportional memory in KiB of a process and all its descendants, and how many they are."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:  # it has ended
                continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    total = 0
    for member in family:
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total, len(family)


def status_of(pid):
    """What the system says of a process, by name: sizes in KiB. One that has ended has no sizes."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {line[0].removesuffix(":"): int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def anonymous_of(pid):
    """Memory in KiB that a process itself has taken: without the pages of its program, which come and go with what else
    runs."""
    return status_of(pid).get("RssAnon", 0)


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()

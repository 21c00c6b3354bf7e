"""One build of a copy of the sources with all mutants of a table in it, each behind
a switch: the variable MUTANT names the one that is on.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Of its own: what is built here must never be taken for the program.
MUTANTS = ROOT / "target" / "mutants"


class Options:
    """What scripts/mutants was asked: seeds at most, a part of the names of those that are run, and
    whether it is only looked whether their texts are there; the profile of the build."""

    def __init__(self):
        _, seeds, self.only, applies, self.profile = sys.argv
        self.seeds, self.applies = int(seeds), applies == "yes"

    def chosen(self, rows, name):
        """Those of the rows that are to be run, by what names one."""
        wanted = self.only.split("|")
        chosen = [row for row in rows if any(part in name(row) for part in wanted)]
        if not chosen:
            sys.exit(f"no mutant has `{self.only}` in its name")
        return chosen


SWITCH = '''
/// Whether this mutant is on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("MUTANT").unwrap_or_default()) == name
}
'''


def edited(mutants):
    """The files that the mutants edit, by their paths, with all edits. Two mutants may edit one place:
    their texts are looked for in what the first has left. Ends with a list of all that are not found."""
    texts, lost = {}, []
    for mutant, edits in mutants:
        for file, old, new in edits:
            if file not in texts:
                path = ROOT / file
                texts[file] = path.read_text() if path.is_file() else ""
            if (times := texts[file].count(old)) != 1:
                lost.append(f"mutant `{mutant}`: {file} has this {times} times:\n{old}")
                continue
            texts[file] = texts[file].replace(old, new.replace("NAME", f'"{mutant}"'))
    if lost:
        sys.exit("\n".join(lost))
    return texts


def build(table, mutants, profile):
    """Where the copy is, `tree`, and the test programs, `lib` and `it`."""
    texts = edited(mutants)
    tree = MUTANTS / table
    for name in ["src", "tests", "benches", "examples", "fixtures", "docs"]:
        shutil.rmtree(tree / name, ignore_errors=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name)
    for name in ["Cargo.toml", "Cargo.lock", "README.md", "clippy.toml"]:
        shutil.copy(ROOT / name, tree / name)
    library = tree / "src" / "lib.rs"
    library.write_text(library.read_text() + SWITCH)
    for file, text in texts.items():
        (tree / file).write_text(text)
    environment = os.environ | {"CARGO_TARGET_DIR": str(MUTANTS / "target")}
    command = ["cargo", "test", "--locked", "--profile", profile, "--lib", "--test", "it", "--no-run"]
    built = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(built.stderr)
    programs = dict(re.findall(r"Executable (?:unittests )?(\S+) \((.*)\)", built.stderr))
    return {
        "tree": tree,
        "lib": MUTANTS / "target" / programs["src/lib.rs"],
        "it": MUTANTS / "target" / programs["tests/it/main.rs"],
    }

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

SWITCH = '''
/// Whether this mutant is on.
pub fn mutant(name: &str) -> bool {
    static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("MUTANT").unwrap_or_default()) == name
}
'''


def build(table, mutants):
    """Where the copy is, `tree`, and the test programs, `lib` and `it`."""
    tree = MUTANTS / table
    for name in ["src", "tests", "benches", "examples", "fixtures", "docs"]:
        shutil.rmtree(tree / name, ignore_errors=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name)
    for name in ["Cargo.toml", "Cargo.lock", "README.md", "clippy.toml"]:
        shutil.copy(ROOT / name, tree / name)
    library = tree / "src" / "lib.rs"
    library.write_text(library.read_text() + SWITCH)
    # Two mutants may edit one place: their texts are looked for in what the
    # first has left.
    for mutant, edits in mutants:
        for file, old, new in edits:
            path = tree / file
            text = path.read_text()
            if text.count(old) != 1:
                sys.exit(f"mutant `{mutant}`: {file} has this {text.count(old)} times:\n{old}")
            path.write_text(text.replace(old, new.replace("NAME", f'"{mutant}"')))
    environment = os.environ | {"CARGO_TARGET_DIR": str(MUTANTS / "target")}
    command = ["cargo", "test", "--locked", "--profile", "heavy", "--lib", "--test", "it", "--no-run"]
    built = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        sys.exit(built.stderr)
    programs = dict(re.findall(r"Executable (?:unittests )?(\S+) \((.*)\)", built.stderr))
    return {
        "tree": tree,
        "lib": MUTANTS / "target" / programs["src/lib.rs"],
        "it": MUTANTS / "target" / programs["tests/it/main.rs"],
    }

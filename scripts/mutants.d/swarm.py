"""Mutants of the swarm's core: one build with a switch for each, one run of the simulation
of swarms for each.

Every edit names the text it replaces, and the text must be there exactly once:
when the code changes, this fails until the mutant is written anew.
"""

import os
import re
import subprocess
import sys

from build import Options, build, edited

# (mutant, [(file, text, text with the switch)])
MUTANTS = [
    (
        "a connection that ends forgets its price tags",
        [
            (
                "src/swarm/torrent/core/peers.rs",
                "            let lost = picker.disown(conn);\n",
                "            let mut lost = picker.disown(conn);\n"
                "            if crate::mutant(NAME) {\n"
                "                lost.clear();\n"
                "            }\n",
            ),
        ],
    ),
    (
        "a duplicate is counted and its price tag forgotten",
        [
            (
                "src/swarm/picker/arrivals.rs",
                "                None => all.push((tag, block.length)),",
                "                None if crate::mutant(NAME) => {}\n"
                "                None => all.push((tag, block.length)),",
            ),
        ],
    ),
    (
        "priced duplicates have no limit",
        [
            (
                "src/swarm/picker/arrivals.rs",
                "            || self.duplicates + others + length > self.duplicate_limit()",
                "            || (!crate::mutant(NAME)\n"
                "                && self.duplicates + others + length > self.duplicate_limit())",
            ),
            (
                "src/swarm/picker/races.rs",
                "room >= u64::from(CHUNK) || too_late)",
                "room >= u64::from(CHUNK) || too_late || crate::mutant(NAME))",
            ),
        ],
    ),
    (
        "a piece that was wrong is never begun again",
        [
            (
                "src/swarm/picker/arrivals.rs",
                "            true => self.rarity.list(piece),",
                "            true if crate::mutant(NAME) => {}\n"
                "            true => self.rarity.list(piece),",
            ),
        ],
    ),
    (
        "a piece that was given up is never begun again",
        [
            (
                "src/swarm/picker/arrivals.rs",
                "            self.rarity.list(block.piece);",
                "            if !crate::mutant(NAME) {\n"
                "                self.rarity.list(block.piece);\n"
                "            }",
            ),
        ],
    ),
    (
        "a disk that refused is never tried again",
        [
            (
                "src/swarm/torrent/core/mod.rs",
                "        (refused && self.disk_retry_ms <= now_ms)",
                "        (refused && self.disk_retry_ms <= now_ms && !crate::mutant(NAME))",
            ),
        ],
    ),
    (
        "a liar is neither banned nor suspected",
        [
            (
                "src/swarm/torrent/core/pieces.rs",
                "        match &senders[..] {\n",
                "        let senders = if crate::mutant(NAME) { Vec::new() } else { senders };\n"
                "        match &senders[..] {\n",
            ),
        ],
    ),
    (
        "nobody races",
        [
            (
                "src/swarm/peer/asking.rs",
                "        now >= self.race_at && (",
                "        !crate::mutant(NAME) && now >= self.race_at && (",
            ),
        ],
    ),
    (
        "what others brought is not looked at before a race",
        [
            (
                "src/swarm/torrent/core/lease.rs",
                "    owner.look();\n    let core = owner.core();\n    let found",
                "    if !crate::mutant(NAME) {\n"
                "        owner.look();\n"
                "    }\n"
                "    let core = owner.core();\n"
                "    let found",
            ),
        ],
    ),
    (
        "a seed serves all alike, whoever passes on what it gets",
        [
            (
                "src/swarm/passing.rs",
                "        let records = || self.peers.values();\n",
                "        if crate::mutant(NAME) {\n"
                "            return 1;\n"
                "        }\n"
                "        let records = || self.peers.values();\n",
            ),
        ],
    ),
    (
        "payers of one price share alike, whoever passes on",
        [
            (
                "src/swarm/scheduler.rs",
                "UploadClass::Paid { weight } => (true, weight.max(1), factor.max(1)),",
                "UploadClass::Paid { weight } if crate::mutant(NAME) => (true, weight.max(1), 1),\n"
                "            UploadClass::Paid { weight } => (true, weight.max(1), factor.max(1)),",
            ),
        ],
    ),
    (
        "whoever asks for nothing keeps its slot",
        [
            (
                "src/swarm/choker.rs",
                "        let rotate = self.round.is_multiple_of(OPTIMISTIC_ROUNDS);\n",
                "        let candidates = &useful(NAME, candidates)[..];\n"
                "        let rotate = self.round.is_multiple_of(OPTIMISTIC_ROUNDS);\n",
            ),
            (
                "src/swarm/choker.rs",
                "        let mut chosen = Chosen::new(self.slots);\n"
                "        for one in candidates\n",
                "        let candidates = &useful(NAME, candidates)[..];\n"
                "        let mut chosen = Chosen::new(self.slots);\n"
                "        for one in candidates\n",
            ),
            (
                "src/swarm/choker.rs",
                "struct Chosen {\n",
                "fn useful(name: &str, candidates: &[Candidate]) -> Vec<Candidate> {\n"
                "    let mut all = candidates.to_vec();\n"
                "    all.iter_mut()\n"
                "        .for_each(|one| one.wasteful &= !crate::mutant(name));\n"
                "    all\n"
                "}\n\n"
                "struct Chosen {\n",
            ),
        ],
    ),
    (
        "a file that is chosen later is not asked for",
        [
            (
                "src/swarm/picker/choosing.rs",
                "                true => self.rarity.list(piece),",
                "                true if crate::mutant(NAME) => {}\n"
                "                true => self.rarity.list(piece),",
            ),
        ],
    ),
    (
        "a piece that is not wanted any more is asked for all the same",
        [
            (
                "src/swarm/picker/choosing.rs",
                "                false => self.rarity.unlist(piece),",
                "                false if crate::mutant(NAME) => {}\n"
                "                false => self.rarity.unlist(piece),",
            ),
        ],
    ),
    (
        "a begun piece that is not wanted any more is asked for all the same",
        [
            (
                "src/swarm/picker/choosing.rs",
                "        !self.narrowed || ",
                "        crate::mutant(NAME) || !self.narrowed || ",
            ),
        ],
    ),
    (
        "a piece that is not wanted any more is never given up",
        [
            (
                "src/swarm/picker/choosing.rs",
                "        if !self.narrowed {\n",
                "        if !self.narrowed || crate::mutant(NAME) {\n",
            ),
        ],
    ),
    (
        "a piece is given up though it is owed in part",
        [
            (
                "src/swarm/picker/choosing.rs",
                "begun.is_owed() && !done;",
                "begun.is_owed() && !done && !crate::mutant(NAME);",
            ),
        ],
    ),
    (
        "a piece that is given up keeps its price tags",
        [
            (
                "src/swarm/torrent/core/pieces.rs",
                "            self.tell_ended(piece, ended, false, out);\n        }\n",
                "            if !crate::mutant(NAME) {\n"
                "                self.tell_ended(piece, ended, false, out);\n"
                "            }\n        }\n",
            ),
        ],
    ),
    (
        "who has what it chose stays complete when it chooses more",
        [
            (
                "src/swarm/torrent/core/pieces.rs",
                "        self.step(phase::Input::Chosen { complete }, out);\n",
                "        if complete || !crate::mutant(NAME) {\n"
                "            self.step(phase::Input::Chosen { complete }, out);\n"
                "        }\n",
            ),
        ],
    ),
]


def run(program, mutant, seeds):
    environment = os.environ | {
        "MUTANT": mutant,
        "SEEDRAIL_SWARM_SEEDS": str(seeds),
        "RUST_BACKTRACE": "0",
    }
    test = "swarm::tests::simulation::everybody_who_can_finish_does_and_both_ledgers_agree"
    command = [program, "--exact", test, "--nocapture"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def main():
    options = Options()
    seeds = options.seeds
    if options.applies:
        edited(MUTANTS)
        return
    rows = options.chosen(MUTANTS, lambda row: row[0])
    program = build("swarms", MUTANTS, options.profile)["lib"]
    sound = run(program, "", seeds)
    if sound.returncode != 0:
        sys.exit(f"without a mutant the simulation fails:\n{sound.stdout}{sound.stderr}")
    print("| broken rule | found by seed | how |")
    print("|---|---:|---|")
    missed = 0
    for mutant, _ in rows:
        done = run(program, mutant, seeds)
        panics = re.findall(r"panicked at [^\n]*\n([^\n]*)", done.stderr)
        seed = re.findall(r"^seed (\d+)$", done.stderr, re.MULTILINE)
        if done.returncode == 0 or not panics:
            missed += 1
            print(f"| {mutant} | **none of {seeds}** | |", flush=True)
        else:
            print(f"| {mutant} | {seed[0] if seed else 'all'} | {panics[0].strip()} |", flush=True)
    sys.exit(1 if missed else 0)


main()

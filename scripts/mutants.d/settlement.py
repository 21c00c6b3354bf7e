"""Mutants of settlement: one build with a switch for each, one run for each.

Every edit names the text it replaces, and the text must be there exactly once:
when the code changes, this fails until the mutant is written anew.
"""

import os
import re
import subprocess
import sys

from build import Options, build, edited

# (mutant, [(file, text, text with the switch)]), and a test where it is not the
# simulation that finds it
MUTANTS = [
    (
        "re-sign on `not found`",
        [
            (
                "src/settle/state.rs",
                "let dead = time >= attempt.expiration && number > attempt.reference;",
                "let dead = (time >= attempt.expiration || (crate::mutant(NAME) && number > "
                "attempt.reference + 8)) && number > attempt.reference;",
            ),
            (
                "src/ledger/statements/chain.rs",
                "if block.time < attempt.expiration {",
                "if block.time < attempt.expiration && !crate::mutant(NAME) {",
            ),
        ],
    ),
    (
        "stop the scan at the last block before the expiration",
        [
            (
                "src/settle/state.rs",
                "time >= attempt.expiration",
                "(time >= attempt.expiration || (crate::mutant(NAME) && "
                "time.plus(std::time::Duration::from_secs(3)) >= attempt.expiration))",
            ),
            (
                "src/ledger/statements/chain.rs",
                "block.time < attempt.expiration",
                "block.time < attempt.expiration && !crate::mutant(NAME)",
            ),
        ],
    ),
    (
        "broadcast before durable",
        [
            (
                "src/ledger/store/mod.rs",
                "pub(in crate::ledger) fn committed(",
                "pub(crate) fn committed(",
            ),
            (
                "src/settle/engine/sign.rs",
                "        let durable = self.ledger.insert_attempts(lease, &attempts)?;",
                "        if crate::mutant(NAME) {\n"
                "            for attempt in &attempts {\n"
                "                let attempt = Durable::committed(attempt.clone());\n"
                "                drop(self.chain.broadcast(&attempt).await);\n"
                "            }\n"
                "        }\n"
                "        let durable = self.ledger.insert_attempts(lease, &attempts)?;",
            ),
        ],
    ),
    (
        "trust one node",
        [
            (
                "src/ledger/statements/witnesses.rs",
                "*place < to_learn || ",
                "*place < to_learn || crate::mutant(NAME) || ",
            ),
        ],
    ),
    (
        "ignore the lease",
        [
            (
                "src/ledger/statements/leases.rs",
                "    if held {\n        Ok(())",
                "    if held || crate::mutant(NAME) {\n        Ok(())",
            ),
        ],
    ),
    (
        "plan before the takeover",
        [
            (
                "src/settle/engine/mod.rs",
                "        let (lease, signer) = self.begin(Some(signer)).await?;\n"
                "        self.replan_debts(&lease)?;",
                "        let early = if crate::mutant(NAME) {\n"
                "            Some(self.make_plan(token, policy, self.permission_id).await?)\n"
                "        } else {\n"
                "            None\n"
                "        };\n"
                "        let (lease, signer) = self.begin(Some(signer)).await?;\n"
                "        self.replan_debts(&lease)?;",
            ),
            (
                "src/settle/engine/mod.rs",
                "        let plan = self.make_plan(token, policy, self.permission_id).await?;\n"
                "        if !plan.payouts.is_empty()",
                "        let plan = match early {\n"
                "            Some(plan) => plan,\n"
                "            None => self.make_plan(token, policy, self.permission_id).await?,\n"
                "        };\n"
                "        if !plan.payouts.is_empty()",
            ),
        ],
    ),
    (
        "give a range back on a refusal",
        [
            (
                "src/settle/engine/drive.rs",
                "                memory.last_refusal = Some(error.clone());",
                "                if crate::mutant(NAME)\n"
                "                    && let Some(attempt) = board.attempt(txid)\n"
                "                {\n"
                "                    let payout = attempt.get().payout;\n"
                "                    self.give_up(lease, board, &[(payout, remark.clone())])?;\n"
                "                }\n"
                "                memory.last_refusal = Some(error.clone());",
            ),
            (
                "src/ledger/statements/payouts.rs",
                "        .find(|row| row.state != AttemptState::Dead)\n    {\n"
                "        return Err(LedgerError::AttemptLive(paying.txid));",
                "        .find(|row| row.state != AttemptState::Dead && !crate::mutant(NAME))\n    {\n"
                "        return Err(LedgerError::AttemptLive(paying.txid));",
            ),
        ],
    ),
    (
        "give up what the holders of the keys still have",
        [
            (
                "src/settle/recovery.rs",
                "                Step::Await(attempt.txid)",
                "                if crate::mutant(NAME) {\n"
                "                    return Step::GiveUp(\"no holder sent it\".to_owned());\n"
                "                }\n"
                "                Step::Await(attempt.txid)",
            ),
            (
                "src/ledger/statements/payouts.rs",
                "        .find(|row| row.state != AttemptState::Dead && !crate::mutant("
                "\"give a range back on a refusal\"))",
                "        .find(|row| row.state != AttemptState::Dead && !crate::mutant("
                "\"give a range back on a refusal\") && !crate::mutant(NAME))",
            ),
        ],
    ),
    (
        "skip the check that the ledger is current",
        [
            (
                "src/settle/engine/look.rs",
                "            let why = match self.foreign(&cursor, board).await? {",
                "            if crate::mutant(NAME) {\n"
                "                return Ok(cursor);\n"
                "            }\n"
                "            let why = match self.foreign(&cursor, board).await? {",
            ),
            (
                "src/settle/engine/sign.rs",
                "if cursor.foreign.is_some() && self.is_paid_elsewhere(&payout)? {",
                "if cursor.foreign.is_some() && !crate::mutant(NAME) && "
                "self.is_paid_elsewhere(&payout)? {",
            ),
            (
                "src/settle/engine/mod.rs",
                "if self.ledger.recovery(self.account)? != Recovery::Current {",
                "if !crate::mutant(NAME) && "
                "self.ledger.recovery(self.account)? != Recovery::Current {",
            ),
        ],
    ),
    (
        "count DUP as success",
        [
            (
                "src/ledger/statements/attempts.rs",
                "    // Of several answers the last one counts.",
                "    if crate::mutant(NAME) {\n"
                "        for (txid, said) in answers {\n"
                "            if said.contains(\"DUP\") {\n"
                "                let paid = find_attempt(tx, *txid)?.map(|row| row.payout);\n"
                "                set_confirmed(tx, &paid.into_iter().collect())?;\n"
                "                set_attempt_states(tx, &[(*txid, (AttemptState::Solid, Some(1)))].into())?;\n"
                "            }\n"
                "        }\n"
                "    }\n"
                "    // Of several answers the last one counts.",
            ),
        ],
    ),
    (
        "recover without waiting",
        [
            (
                "src/settle/engine/recover.rs",
                "        self.outlive(&lease, &mut board, began).await?;",
                "        if !crate::mutant(NAME) {\n"
                "            self.outlive(&lease, &mut board, began).await?;\n"
                "        }",
            ),
        ],
    ),
    (
        "forget the comparison with unknown transfers",
        [
            (
                "src/settle/engine/orders.rs",
                "                PastOrigin::Payout { id, .. } if own.contains(&id) => {}\n",
                "                PastOrigin::Payout { id, .. } if own.contains(&id) => {}\n"
                "                PastOrigin::Elsewhere { .. } if crate::mutant(NAME) => {}\n",
            ),
            (
                "src/settle/engine/sign.rs",
                "            Some(_) => self.paid_alike_since(board, due, known)?,\n"
                "            None => BTreeMap::new(),",
                "            Some(_) if !crate::mutant(NAME) => {\n"
                "                self.paid_alike_since(board, due, known)?\n"
                "            }\n"
                "            _ => BTreeMap::new(),",
            ),
        ],
    ),
    (
        "forget the comparison with other orders",
        [
            (
                "src/settle/engine/orders.rs",
                "                PastOrigin::Elsewhere { .. } if crate::mutant(",
                "                PastOrigin::Payout { .. } if crate::mutant(NAME) => {}\n"
                "                PastOrigin::Elsewhere { .. } if crate::mutant(",
            ),
        ],
    ),
    (
        "do not give up a declined order",
        [
            (
                "src/settle/engine/orders.rs",
                "                if payout.state == PayoutState::Planned {\n"
                "                    ended.push(",
                "                if payout.state == PayoutState::Planned && !crate::mutant(NAME) {\n"
                "                    ended.push(",
            ),
        ],
    ),
    (
        "give up what was declined alone",
        [
            (
                "src/settle/engine/orders.rs",
                "        if let Err(error) = &outcome\n            && let",
                "        if let Err(error) = &outcome\n"
                "            && !(crate::mutant(NAME) && matches!(error, SettleError::Ledger(_)))\n"
                "            && let",
            ),
        ],
        "settle::orders::an_order_whose_node_failed_before_it_was_signed_does_not_outlive_its_command",
    ),
    (
        "look at the ledger only after the wait for the account",
        [
            (
                "src/settle/engine/orders.rs",
                "let is_this = begun.open.contains(&id) || !begun.known.contains(&id);",
                "let is_this = begun.open.contains(&id)\n"
                "                || (!crate::mutant(NAME) && !begun.known.contains(&id));",
            ),
        ],
    ),
    (
        "forget which transfer an order is",
        [
            (
                "src/settle/engine/file.rs",
                "        let adopted = self.adopted_as(rows)?;\n        for (row, state)",
                "        let adopted = if crate::mutant(NAME) {\n"
                "            BTreeMap::new()\n"
                "        } else {\n"
                "            self.adopted_as(rows)?\n"
                "        };\n"
                "        for (row, state)",
            ),
        ],
    ),
    (
        "believe a known name under another key",
        [
            (
                "src/ledger/statements/witnesses.rs",
                ".is_some_and(|known| known.signer == block.signer)",
                ".is_some_and(|known| known.signer == block.signer || crate::mutant(NAME))",
            ),
        ],
    ),
    (
        "take in a block that is not linked",
        [
            (
                "src/ledger/statements/chain.rs",
                "        if block.parent != now.last || Some(block.id.number()) != "
                "now.last.number().checked_add(1) {",
                "        if !crate::mutant(NAME)\n"
                "            && (block.parent != now.last\n"
                "                || Some(block.id.number()) != now.last.number().checked_add(1))\n"
                "        {",
            ),
        ],
    ),
    (
        "pass over a gap by headers that are not linked",
        [
            (
                "src/ledger/statements/chain.rs",
                "        if before.is_some_and(|before| {",
                "        if !crate::mutant(NAME) && before.is_some_and(|before| {",
            ),
        ],
        "ledger::in_memory::a_gap_is_passed_over_by_blocks_of_known_witnesses_alone",
    ),
    (
        "pass over a gap by too few known witnesses",
        [
            (
                "src/ledger/statements/chain.rs",
                "    if signed < quorum || !is_near {",
                "    if (signed < quorum && !crate::mutant(NAME)) || !is_near {",
            ),
        ],
        "ledger::in_memory::a_gap_is_passed_over_by_blocks_of_known_witnesses_alone",
    ),
    (
        "pass over a gap to where nobody is known",
        [
            (
                "src/ledger/statements/chain.rs",
                "(signed < quorum && !crate::mutant(\"pass over a gap by too few known witnesses\")) || !is_near",
                "(signed < quorum && !crate::mutant(\"pass over a gap by too few known witnesses\"))\n"
                "        || (!is_near && !crate::mutant(NAME))",
            ),
        ],
        "ledger::in_memory::a_gap_is_passed_over_by_blocks_of_known_witnesses_alone",
    ),
    (
        "ask no further when strangers made all blocks of an answer",
        [
            (
                "src/settle/engine/look.rs",
                "        self.rows.len() >= usize::try_from(LEARNING).unwrap_or(usize::MAX)",
                "        crate::mutant(NAME)\n"
                "            || self.rows.len() >= usize::try_from(LEARNING).unwrap_or(usize::MAX)",
            ),
        ],
        "settle::witnesses::a_new_witness_and_a_new_key_are_met_whatever_number_of_blocks_a_node_gives",
    ),
    (
        "believe an answer with no blocks",
        [
            (
                "src/settle/engine/look.rs",
                "                if head.id.number() >= first {",
                "                if head.id.number() >= first && !crate::mutant(NAME) {",
            ),
        ],
        "settle::witnesses::an_answer_without_blocks_is_no_proof_that_there_are_none",
    ),
    (
        "leave out going back in a recovery",
        [
            (
                "src/settle/engine/recover.rs",
                "        self.go_back(&lease).await?;",
                "        if !crate::mutant(NAME) {\n"
                "            self.go_back(&lease).await?;\n"
                "        }",
            ),
        ],
        "settle::witnesses::a_recovery_goes_back_from_an_invented_chain",
    ),
    (
        "believe the time of any block",
        [
            (
                "src/settle/engine/look.rs",
                "                let is_known = block.made_by().is_some_and(|made| {",
                "                let is_known = crate::mutant(NAME) || block.made_by().is_some_and(|made| {",
            ),
        ],
        "settle::an_invented_block_does_not_hide_what_a_lost_ledger_paid",
    ),
    (
        "forget what a lost ledger paid",
        [
            (
                "src/settle/engine/look.rs",
                "        if first >= cursor.history {",
                "        if first >= cursor.history || crate::mutant(NAME) {",
            ),
        ],
    ),
    (
        "believe the node that answers first that an account was quiet",
        [
            (
                "src/settle/node.rs",
                "                    told.at = told.at.max(account.map(|account| account.latest_operation));",
                "                    if told.nodes == 1 || !crate::mutant(NAME) {\n"
                "                        told.at =\n"
                "                            told.at.max(account.map(|account| account.latest_operation));\n"
                "                    }",
            ),
        ],
        "settle::hidden::of_two_nodes_one_hides_no_payment_in_a_long_gap",
    ),
    (
        "believe a single node of an account that is used elsewhere",
        [
            (
                "src/settle/engine/look.rs",
                "        if told.nodes < ENOUGH_NODES && cursor.foreign.is_some() {",
                "        if told.nodes < ENOUGH_NODES && cursor.foreign.is_some() && !crate::mutant(NAME) {",
            ),
        ],
        "settle::hidden::a_single_node_hides_no_payment_of_an_account_that_is_used_elsewhere",
    ),
    (
        "believe a single node of what a lost ledger paid",
        [
            (
                "src/settle/engine/look.rs",
                "        let quiet = told.nodes >= ENOUGH_NODES\n",
                "        let quiet = (told.nodes >= ENOUGH_NODES || crate::mutant(NAME))\n",
            ),
        ],
        "settle::hidden::no_node_hides_what_a_lost_ledger_paid",
    ),
    (
        "sign however old what is final is",
        [
            (
                "src/settle/engine/look.rs",
                "        let behind = head.time.since(cursor.last_time) > MOST_BEHIND;",
                "        let behind = head.time.since(cursor.last_time) > MOST_BEHIND && !crate::mutant(NAME);",
            ),
        ],
        "settle::hidden::nothing_is_signed_while_what_is_final_is_long_behind_the_head",
    ),
    (
        "sign for as long as a group takes",
        [
            (
                "src/settle/engine/sign.rs",
                "        matches!(self.how, Signing::Here(_)) && self.took() >= SIGN_AHEAD",
                "        matches!(self.how, Signing::Here(_))\n"
                "            && self.took() >= SIGN_AHEAD\n"
                "            && !crate::mutant(NAME)",
            ),
        ],
        "settle::slow::what_a_slow_signer_signs_is_paid_by_its_first_signature",
    ),
    (
        "send what was signed too late",
        [
            (
                "src/settle/engine/sign.rs",
                "self.lifetime() < took + LEFT_TO_LIVE {",
                "self.lifetime() < took + LEFT_TO_LIVE && !crate::mutant(NAME) {",
            ),
        ],
        "settle::slow::a_signature_that_comes_too_late_is_neither_kept_nor_sent",
    ),
]


SIMULATION = "settle::storm::storms_of_faults_pay_everybody_once"


def run(program, mutant, seeds, test=SIMULATION):
    environment = os.environ | {"MUTANT": mutant, "SEEDRAIL_SEEDS": str(seeds), "RUST_BACKTRACE": "0"}
    command = [program, "--exact", test, "--nocapture"]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def main():
    options = Options()
    seeds = options.seeds
    rows = [(*row, SIMULATION)[:3] for row in MUTANTS]
    mutants = [row[:2] for row in rows]
    if options.applies:
        edited(mutants)
        return
    rows = options.chosen(rows, lambda row: row[0])
    program = build("settlement", mutants, options.profile)["it"]
    for test in sorted({test for _, _, test in rows}):
        sound = run(program, "", 200, test)
        if sound.returncode != 0 or "1 passed" not in sound.stdout:
            sys.exit(f"without a mutant `{test}` fails:\n{sound.stdout}{sound.stderr}")
    print("| broken invariant | found by seed | how |")
    print("|---|---:|---|")
    missed = 0
    for mutant, _, test in rows:
        done = run(program, mutant, seeds, test)
        said = re.findall(r"(?:seed (\d+)[,:][^\n]*)", done.stderr)
        how = re.findall(r"seed \d+[,:] ?([^\n]*)", done.stderr)
        if done.returncode != 0 and test != SIMULATION:
            print(f"| {mutant} | | `{test.rsplit('::', 1)[1]}` |", flush=True)
        elif done.returncode == 0 or not said:
            missed += 1
            print(f"| {mutant} | **none of {seeds}** | {done.stderr.strip()[:200]} |", flush=True)
        else:
            print(f"| {mutant} | {said[0]} | {how[0].strip()} |", flush=True)
    sys.exit(1 if missed else 0)


main()

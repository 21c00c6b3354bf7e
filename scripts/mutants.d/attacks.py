"""Mutants of the rules against attacks on payments (src/receipts/DESIGN.md): one
build with a switch for each; the tests that its row names must fail with it.
"""

import os
import subprocess
import sys

from build import Options, build, edited

UNIT = "receipts::"

# (row of the table, mutant, tests of the library, tests of tests/it, [(file, text, text with the switch)])
MUTANTS = [
    (
        "a fresh address with a huge bid that vanishes",
        "weighs as its bid at once",
        [],
        ["attacks::a_fresh_address_with_a_huge_bid_that_vanishes_takes_a_window_once"],
        [("src/receipts/exchange/selling.rs", "if credit.proven() || credit.has_paid() {",
          "if credit.proven() || credit.has_paid() || crate::mutant(NAME) {")],
    ),
    (
        "a fresh address with a huge bid that vanishes",
        "a piece is written off each time",
        [],
        ["attacks::a_fresh_address_with_a_huge_bid_that_vanishes_takes_a_window_once"],
        [("src/receipts/credit.rs", "    fn most_written_off(&self, piece_length: u32) -> u64 {\n",
          "    fn most_written_off(&self, piece_length: u32) -> u64 {\n"
          "        if crate::mutant(NAME) {\n            return u64::MAX / 2;\n        }\n")],
    ),
    (
        "a fresh address with a huge bid that vanishes",
        "a rest is no default, however often",
        ["tests::attacks::less_than_a_piece_is_no_default_until_it_comes_to_what_may_be_written_off"],
        ["attacks::less_than_a_piece_is_written_off_and_a_default_when_it_repeats"],
        [("src/receipts/credit.rs", " || with_this > most {", " || (with_this > most && !crate::mutant(NAME)) {")],
    ),
    (
        "so many payers that the disk falls behind",
        "each receipt has a transaction of its own",
        [],
        ["grouped::many_that_pay_at_once_share_a_transaction_up_to_a_bound"],
        [("src/receipts/pay/worker/storing.rs", "        self.passed += 1;\n",
          "        self.passed += if crate::mutant(NAME) { MAX_PASSED + 1 } else { 1 };\n")],
    ),
    (
        "a stolen session key",
        "a key that follows another one has limits of its own",
        [],
        ["grants::a_renewed_key_signs_no_more_than_the_one_before_still_could"],
        [("src/ledger/statements/grants.rs",
          "fn root(tx: &Transaction<'_>, hash: Salt) -> Result<Option<GrantRow>, LedgerError> {\n",
          "fn root(tx: &Transaction<'_>, hash: Salt) -> Result<Option<GrantRow>, LedgerError> {\n"
          "    if crate::mutant(NAME) {\n        return find(tx, hash);\n    }\n")],
    ),
    (
        "a fresh address with a huge bid that vanishes",
        "a debt from before is never due",
        [],
        ["attacks::a_fresh_address_with_a_huge_bid_that_vanishes_takes_a_window_once"],
        [("src/receipts/pay/worker/selling.rs", "} else if now >= carried.until {",
          "} else if now >= carried.until && !crate::mutant(NAME) {")],
    ),
    (
        "worthless receipts of fresh keys",
        "a receipt counts whatever was sold",
        ["tests::unsold::one_chunk_and_a_huge_receipt_are_worth_one_chunk"],
        ["spite::a_chunk_and_a_huge_receipt_earn_a_chunk_also_after_a_restart",
         "spite::a_seller_does_not_lift_the_buyers_limit_by_a_promise"],
        [("src/receipts/credit.rs", "        if self.sold == 0 {\n            return RawAmount::ZERO;\n        }\n",
          "        if self.sold == 0 {\n            return RawAmount::ZERO;\n        }\n"
          "        if crate::mutant(NAME) {\n            return RawAmount::MAX;\n        }\n")],
    ),
    (
        "worthless receipts of fresh keys",
        "what was sold to nobody counts",
        ["tests::unsold::a_receipt_for_nothing_that_was_sold_is_kept_aside"],
        ["spite::worthless_receipts_of_strangers_end_nobodys_credit"],
        [("src/receipts/credit.rs", "        if self.sold == 0 {\n            return RawAmount::ZERO;",
          "        if self.sold == 0 {\n            return if crate::mutant(NAME) { RawAmount::MAX } else { RawAmount::ZERO };")],
    ),
    (
        "receipts that raise nothing, to keep the disk busy",
        "each is stored",
        ["tests::unsold::receipts_that_raise_nothing_are_not_stored"],
        [],
        [("src/receipts/exchange/taking.rs", "if raised.unwrap_or_default() == RawAmount::ZERO && !aside {",
          "if raised.unwrap_or_default() == RawAmount::ZERO && !aside && !crate::mutant(NAME) {")],
    ),
    (
        "bids, withdrawn and made again, for bytes at no price",
        "each award has its grace",
        ["tests::unsold::bytes_at_no_price_grow_no_window_and_their_grace_is_one"],
        [],
        [("src/receipts/credit.rs", "let given = bytes.min(most.saturating_sub(self.grace_given));",
          "let given = if crate::mutant(NAME) { bytes } else { bytes.min(most.saturating_sub(self.grace_given)) };")],
    ),
    (
        "bids, withdrawn and made again, for bytes at no price",
        "a withdrawal lifts the limit on raises",
        ["tests::unsold::a_withdrawn_bid_is_not_raised_sooner"],
        [],
        [("src/receipts/exchange/selling.rs", "            self.bid_of_peer = None;\n            self.at_cap = false;\n",
          "            self.bid_of_peer = None;\n            if crate::mutant(NAME) {\n                self.last_bid = None;\n            }\n            self.at_cap = false;\n")],
    ),
    (
        "coming and going for a discount",
        "a quarter is written off",
        ["tests::unsold::coming_and_going_brings_a_window_once_and_two_percent"],
        [],
        [("src/receipts/credit.rs", "        let paid_part = self.credited / SLACK_PART;\n",
          "        let paid_part = self.credited / if crate::mutant(NAME) { 4 } else { SLACK_PART };\n")],
    ),
    (
        "`settled` and bids, to use up the node's quota",
        "who owes nothing is looked for",
        [],
        ["spite::who_owes_nothing_costs_the_node_no_question"],
        [("src/receipts/pay/worker/asking.rs", "        if !owes {", "        if !owes && !crate::mutant(NAME) {")],
    ),
    (
        "`settled` and bids, to use up the node's quota",
        "an address has no allowance",
        ["pay::worker::asking::tests::what_one_address_says_of_its_payments_costs_the_node_little"],
        [],
        [("src/receipts/pay/worker/asking.rs", "hint.not_before <= now && allowance.left > 0",
          "hint.not_before <= now && (allowance.left > 0 || crate::mutant(NAME))"),
         ("src/receipts/pay/worker/asking.rs", "            allowance.left -= 1;", "            allowance.left = allowance.left.saturating_sub(1);")],
    ),
    (
        "`settled` and bids, to use up the node's quota",
        "transfers go before bidders",
        ["pay::worker::asking::tests::bidders_go_before_transfers_and_the_node_has_few_questions_at_once"],
        [],
        [("src/receipts/pay/worker/asking.rs", "let bidder = self.bidders.pop_front().map(Question::Bidder);",
          "let bidder = self.bidders.pop_front().filter(|_| !crate::mutant(NAME)).map(Question::Bidder);")],
    ),
    (
        "`settled` and bids, to use up the node's quota",
        "each bid is a question",
        [],
        ["spite::bids_again_and_again_are_one_question_to_the_node"],
        [("src/receipts/pay/worker/asking.rs", ".filter(|(at, _)| now.since(*at) < SAID_FOR);",
          ".filter(|(at, _)| now.since(*at) < SAID_FOR && !crate::mutant(NAME));")],
    ),
    (
        "a tiny cap, to make the payer settle at once",
        "any cap is one",
        ["tests::unsold::a_cap_below_a_window_is_no_cap"],
        [],
        [("src/receipts/exchange/mod.rs", "if u128::from(cap.unsigned()) >= cost(least, floor_price) >> GIB_BITS {",
          "if crate::mutant(NAME) || u128::from(cap.unsigned()) >= cost(least, floor_price) >> GIB_BITS {")],
    ),
    (
        "a seller that starts again and again, to use up epochs",
        "epochs are kept for processes that are gone",
        [],
        ["spite::a_seller_that_restarts_again_and_again_is_bought_from"],
        [("src/receipts/pay/worker/exposure.rs", "        if self.leases.remove(&key).is_some()",
          "        if !crate::mutant(NAME) && self.leases.remove(&key).is_some()")],
    ),
    (
        "a seller that stops, or holds and does not sell",
        "held with something due, it waits for ever",
        ["tests::unsold::a_buyer_that_is_held_with_something_due_waits_fifteen_seconds_at_most"],
        [],
        [("src/receipts/exchange/mod.rs", "if self.held_by_peer && self.price.is_some()",
          "if !crate::mutant(NAME) && self.held_by_peer && self.price.is_some()")],
    ),
    (
        "a seller that stops, or holds and does not sell",
        "at its cap a payer is held",
        ["tests::unsold::at_its_cap_a_payer_goes_on_for_free_and_buys_again_once_it_settled"],
        ["spite::a_payer_at_its_limit_goes_on_for_free_and_pays_again_once_it_settled"],
        [("src/receipts/exchange/selling.rs", "        if !barred && self.cap_is_used_up(",
          "        if !crate::mutant(NAME) && !barred && self.cap_is_used_up(")],
    ),
    (
        "a payer that vanishes",
        "no window",
        [],
        ["pair::a_vanishing_payer_takes_no_more_than_the_window"],
        [("src/receipts/credit.rs", "        by_window.min(self.room(price, cap))\n",
          "        let room = self.room(price, cap);\n"
          "        if crate::mutant(NAME) { room } else { by_window.min(room) }\n")],
    ),
    (
        "whitewashing",
        "who settled anything has no ceiling",
        [],
        ["strangers::settling_next_to_nothing_frees_nobody_from_the_bounds"],
        [("src/receipts/pay/worker/exposure.rs", "credit.set_ceiling(Some(ceiling));",
          "let free = credit.proven() && crate::mutant(NAME);\n"
          "                credit.set_ceiling((!free).then_some(ceiling));")],
    ),
    (
        "whitewashing",
        "one more of a network is always served",
        ["exposure::tests::one_more_is_refused_at_two_caps_of_a_network_and_ten_of_all"],
        ["strangers::ever_new_addresses_of_one_network_take_no_more_than_is_printed"],
        [("src/receipts/exposure.rs", "sums.in_network(*network) > self.per_network)",
          "sums.in_network(*network) > self.per_network && !crate::mutant(NAME))")],
    ),
    (
        "whitewashing",
        "a network has no ceiling",
        ["exposure::tests::ceilings_are_never_passed_together"],
        ["strangers::those_of_one_network_owe_no_more_than_is_printed_however_long_they_pay"],
        [("src/receipts/exposure.rs", ".fold(all, u128::min);",
          ".fold(all, |a, b| if crate::mutant(NAME) { a } else { a.min(b) });")],
    ),
    (
        "whitewashing",
        "what is left is given to each",
        ["exposure::tests::ceilings_are_never_passed_together"],
        [],
        [("src/receipts/exposure.rs", "bound.saturating_sub(used).checked_div(served).unwrap_or(0)",
          "bound.saturating_sub(used).checked_div(if crate::mutant(NAME) { 1 } else { served }).unwrap_or(0)")],
    ),
    (
        "whitewashing",
        "who is gone is forgotten",
        [],
        ["strangers::what_strangers_owe_from_before_counts_until_they_are_banned"],
        [("src/receipts/pay/worker/exposure.rs", ".filter(|peer| !self.accounts.contains_key(*peer))",
          ".filter(|peer| !self.accounts.contains_key(*peer) && !crate::mutant(NAME))")],
    ),
    (
        "whitewashing",
        "what is lost counts no more",
        ["tests::attacks::what_was_lost_counts_against_the_cap_until_as_much_was_settled"],
        ["strangers::what_is_written_off_and_given_up_is_within_what_is_printed"],
        [("src/receipts/credit.rs", "        self.written_off_units.saturating_add(self.defaulted)\n",
          "        if crate::mutant(NAME) {\n            return 0;\n        }\n"
          "        self.written_off_units.saturating_add(self.defaulted)\n")],
    ),
    (
        "whitewashing",
        "a restart forgets who did not pay",
        [],
        ["strangers::what_is_written_off_and_given_up_is_within_what_is_printed"],
        [("src/receipts/pay/worker/exposure.rs", "let lost = self.standings.get(peer).map_or(0, |standing| {\n",
          "let lost = self.standings.get(peer).map_or(0, |standing| {\n                if crate::mutant(NAME) {\n                    return 0;\n                }\n")],
    ),
    (
        "window growth on one-unit receipts",
        "what is claimed as delivered is credited",
        ["tests::attacks::receipts_of_one_unit_buy_one_unit"],
        [],
        [("src/receipts/credit.rs", "let bytes = left.min(*entry.get()).min(affordable);",
          "let bytes = left.min(*entry.get()).min(if crate::mutant(NAME) { u64::MAX } else { affordable });")],
    ),
    (
        "many connections from one address",
        "each connection has a window",
        [],
        ["attacks::two_connections_of_an_address_take_one_window"],
        [("src/receipts/pay/worker/known.rs", "let credit = Arc::clone(&account.credit);",
          "let mut credit = Arc::clone(&account.credit);\n"
          "        if crate::mutant(NAME) {\n"
          "            credit = Arc::new(Mutex::new(Credit::new(piece_length)));\n"
          "        }")],
    ),
    (
        "many connections from one address",
        "a network may have all slots",
        ["swarm::choker::tests::one_network_gets_at_most_half"],
        [],
        [("src/swarm/choker.rs", "of_group < self.slots / 2 &&",
          "(of_group < self.slots / 2 || crate::mutant(NAME)) &&")],
    ),
    (
        "fake contention against `--bid auto`",
        "agrees to any price",
        ["tests::cheating_sellers::an_automatic_bid_is_not_driven_up_by_a_word"],
        [],
        [("src/receipts/exchange/buying.rs", "if price > most {", "if price > most && !crate::mutant(NAME) {")],
    ),
    (
        "fake contention against `--bid auto`",
        "begins at its most",
        ["tests::cheating_sellers::an_automatic_bid_is_not_driven_up_by_a_word"],
        [],
        [("src/receipts/exchange/buying.rs", "AutoBid::new(quote.floor_price, now)",
          "AutoBid::new(if crate::mutant(NAME) { bid.most() } else { quote.floor_price }, now)")],
    ),
    (
        "fake contention against `--bid auto`",
        "a raise that brings nothing stays",
        ["autobid::tests::who_only_says_that_it_is_contended_earns_next_to_nothing_by_it"],
        [],
        [("src/receipts/autobid.rs", "Change::Raised { from, rate: old } if !better(old) => {",
          "Change::Raised { from, rate: old } if !better(old) && !crate::mutant(NAME) => {")],
    ),
    (
        "a stolen session key",
        "a payee does not hold a grant's number against it",
        ["tests::signing::each_reason_to_refuse_a_grant"],
        ["grants::a_stolen_session_key_is_worth_its_grant_and_no_more"],
        [("src/receipts/grant.rs", "if owed > u128::from(grant.max_per_payee.unsigned()) {",
          "if owed > u128::from(grant.max_per_payee.unsigned()) && !crate::mutant(NAME) {")],
    ),
    (
        "a stolen session key",
        "receipts of other epochs under the grant are not counted",
        [],
        ["grants::a_stolen_session_key_is_worth_its_grant_and_no_more"],
        [("src/receipts/exchange/taking.rs", "let elsewhere = credit.owed_under(receipt.grant, receipt.epoch);",
          "let mut elsewhere = credit.owed_under(receipt.grant, receipt.epoch);\n"
          "        if crate::mutant(NAME) {\n"
          "            elsewhere = RawAmount::ZERO;\n"
          "        }")],
    ),
    (
        "a stolen session key",
        "a revocation is passed over",
        [],
        ["grants::a_session_key_that_was_taken_back_is_nobody"],
        [("src/receipts/grant.rs", ".filter(|up_to| *up_to >= grant.serial)",
          ".filter(|up_to| *up_to >= grant.serial && !crate::mutant(NAME))")],
    ),
    *[
        (
            "grant exceeded, ended, replaced, revoked, forged",
            mutant,
            ["tests::signing::each_reason_to_refuse_a_grant"],
            [],
            [("src/receipts/grant.rs", old, new)],
        )
        for mutant, old, new in [
            ("another's grant will do", "if grant.payer != payer || grant.signer != signer {",
             "if (grant.payer != payer || grant.signer != signer) && !crate::mutant(NAME) {"),
            ("another token's grant will do", "if grant.token != token {", "if grant.token != token && !crate::mutant(NAME) {"),
            ("a replaced grant will do", "context.highest_serial.filter(|known| *known > grant.serial)",
             "context.highest_serial.filter(|known| *known > grant.serial && !crate::mutant(NAME))"),
            ("a grant is good before its time", "if now_secs < grant.not_before {",
             "if now_secs < grant.not_before && !crate::mutant(NAME) {"),
            ("a grant never ends", "if now_secs > grant.not_after {", "if now_secs > grant.not_after && !crate::mutant(NAME) {"),
            ("anybody signs a grant", ".is_signed_by(&self.grant, &self.signature, self.grant.payer)\n            .then_some(())",
             ".is_signed_by(&self.grant, &self.signature, self.grant.payer)\n            .max(crate::mutant(NAME))\n            .then_some(())"),
        ]
    ],
    (
        "one key on two machines",
        "two ledgers use one epoch",
        [],
        ["restored::one_key_on_two_machines_at_once_owes_what_both_took"],
        [("src/ledger/statements/epochs.rs", "EpochId::new(tx.random_number()?)",
          "EpochId::new(if crate::mutant(NAME) { 7 } else { tx.random_number()? })")],
    ),
    (
        "a payer's old copy of its ledger",
        "an epoch in which another machine signed is used",
        [],
        ["restored::a_payer_whose_disk_was_set_back_contradicts_nothing"],
        [("src/receipts/pay/worker/issuing.rs", "if !foreign.contains(&lease.epoch) {",
          "if !foreign.contains(&lease.epoch) || crate::mutant(NAME) {")],
    ),
    (
        "one key on two machines",
        "grants of the other machine are not taken",
        [],
        ["grants::what_another_machine_signed_under_its_own_session_key_is_evidence"],
        [("src/receipts/exchange/greeting.rs", "if !(payer == peer || payer == self.own())",
          "if crate::mutant(NAME) || !(payer == peer || payer == self.own())")],
    ),
    (
        "both sides pay at once",
        "one direction is not netted",
        [],
        ["attacks::both_sides_may_pay_each_other_at_once"],
        [("src/receipts/pay/worker/issuing.rs", "locked(&conn.credit()).offset(draft.raised);",
          "if !crate::mutant(NAME) {\n                    locked(&conn.credit()).offset(draft.raised);\n                }")],
    ),
    *[
        (
            "replay on another chain, token, pair",
            mutant,
            ["tests::attacks::what_is_not_this_pairs_or_chains_receipt_closes_the_connection"],
            [],
            [("src/receipts/body.rs", old, new)],
        )
        for mutant, old, new in [
            ("any payee's receipt will do", "|| other(expected.payee, receipt.payee)",
             "|| (other(expected.payee, receipt.payee) && !crate::mutant(NAME))"),
            ("any payer's receipt will do", "|| other(expected.payer, receipt.payer)",
             "|| (other(expected.payer, receipt.payer) && !crate::mutant(NAME))"),
            ("any token's receipt will do", "if expected.token.is_some_and(|token| token != receipt.token) {",
             "if expected.token.is_some_and(|token| token != receipt.token) && !crate::mutant(NAME) {"),
            ("a vault's receipt will do", "if receipt.vault != Address::ZERO {",
             "if receipt.vault != Address::ZERO && !crate::mutant(NAME) {"),
            ("a receipt from the future will do",
             "if receipt.issued_at > expected.now_secs.saturating_add(MAX_CLOCK_SKEW_SECS) {",
             "if receipt.issued_at > expected.now_secs.saturating_add(MAX_CLOCK_SKEW_SECS) && !crate::mutant(NAME) {"),
        ]
    ],
    (
        "replay in another epoch or place, for more; forged signer",
        "nobody looks at a receipt's signature",
        ["tests::attacks::a_signature_is_good_for_its_own_statement_alone", "tests::signing::each_reason_to_refuse"],
        [],
        [("src/receipts/body.rs", "            .is_signed_by(receipt, &self.signature, receipt.signer)\n        {",
          "            .is_signed_by(receipt, &self.signature, receipt.signer)\n            && !crate::mutant(NAME)\n        {")],
    ),
    *[
        (
            "replay of a session, speaking for another",
            mutant,
            ["tests::attacks::nobody_speaks_for_another"],
            [],
            [("src/receipts/exchange/greeting.rs", old, new)],
        )
        for mutant, old, new in [
            ("nobody looks at `auth`", "if !self.setup.domain.is_signed_by(&theirs, &auth, signer) {",
             "if !self.setup.domain.is_signed_by(&theirs, &auth, signer) && !crate::mutant(NAME) {"),
            ("our nonce is not in it", "nonce_peer: other.1,",
             "nonce_peer: if crate::mutant(NAME) { crate::types::Salt::ZERO } else { other.1 },"),
            ("the peer ids are not in it", "peer_ids: Hello::peer_ids(&this.2, &other.2),",
             "peer_ids: if crate::mutant(NAME) { Hello::peer_ids(&[0; 20], &[0; 20]) } else { Hello::peer_ids(&this.2, &other.2) },"),
        ]
    ],
    (
        "making another default by saying its name",
        "what is due begins with `hello`",
        [],
        ["attacks::nobody_can_make_another_default_by_saying_its_name"],
        [("src/receipts/pay/worker/known.rs", "        conn.meet(debt, credit);\n",
          "        conn.meet(debt, credit);\n"
          "        if crate::mutant(NAME) {\n            self.met(conn, peer);\n        }\n")],
    ),
    (
        "older receipt",
        "a lower amount under a higher sequence will do",
        ["tests::attacks::an_older_receipt_changes_nothing_and_a_lower_amount_is_refused"],
        [],
        [("src/receipts/body.rs", "|| newer.amount < older.amount", "|| (newer.amount < older.amount && !crate::mutant(NAME))")],
    ),
    (
        "older receipt",
        "an older receipt is a higher one",
        ["tests::attacks::an_older_receipt_changes_nothing_and_a_lower_amount_is_refused"],
        [],
        [("src/receipts/body.rs", "Ok(if self.sequence > last.sequence {",
          "Ok(if self.sequence > last.sequence || crate::mutant(NAME) {")],
    ),
    (
        "equivocation",
        "who contradicts itself is served on",
        ["tests::attacks::an_equivocation_is_kept_and_ends_the_service"],
        [],
        [("src/receipts/exchange/taking.rs",
          "                credit.set_contradicted();\n                let mut outputs = vec![Output::Store",
          "                if crate::mutant(NAME) {\n                    return Ok(Vec::new());\n                }\n"
          "                credit.set_contradicted();\n                let mut outputs = vec![Output::Store")],
    ),
    (
        "redirected payee",
        "anybody signs a quote",
        ["tests::cheating_sellers::a_payee_is_never_put_in_anothers_place"],
        [],
        [("src/receipts/exchange/mod.rs", ".is_signed_by(&quote, &signature, self.peer_signer)\n",
          ".is_signed_by(&quote, &signature, self.peer_signer)\n                    && !crate::mutant(NAME)\n")],
    ),
    (
        "garbage data for pay",
        "a piece is paid for before its hash matched",
        [],
        ["swarm::payments::what_does_not_match_its_hash_is_never_to_be_paid"],
        [("src/swarm/torrent/core/pieces.rs",
          "        self.tell_ended(piece, ended, false, out);\n        out.push(Output::Waste",
          "        self.tell_ended(piece, ended, crate::mutant(NAME), out);\n        out.push(Output::Waste")],
    ),
    (
        "a seller that stops, or holds and does not sell",
        "the bid is never withdrawn",
        ["tests::cheating_sellers::a_seller_that_stops_is_paid_for_what_came_and_asked_for_no_more"],
        [],
        [("src/receipts/exchange/mod.rs", "&& now.since(since) >= STALLED", "&& now.since(since) >= STALLED\n            && !crate::mutant(NAME)")],
    ),
    (
        "over-commitment",
        "promises more than it holds",
        [],
        ["attacks::a_payer_never_promises_more_than_it_holds"],
        [("src/receipts/pay/worker/issuing.rs", "Some(self.balance),", "Some(self.balance).filter(|_| !crate::mutant(NAME)),")],
    ),
    (
        "over-commitment",
        "a buyer asks for more than its seller's cap leaves",
        ["tests::unsold::a_buyer_begins_no_more_pieces_than_its_sellers_cap_leaves"],
        ["economy::a_payer_at_its_limit_finishes_no_later_than_who_pays_nothing"],
        [("src/receipts/debt.rs", "|| (begun > 0 && !self.fits_cap(all, price))",
          "|| (begun > 0 && !self.fits_cap(all, price) && !crate::mutant(NAME))")],
    ),
    (
        "over-commitment",
        "nobody looks whether a stranger exists",
        [],
        ["pair::a_stranger_without_an_account_or_money_is_not_served_on_credit"],
        [("src/receipts/pay/worker/selling.rs", "                match holds {\n                    None => Some(",
          "                let unknown = crate::mutant(NAME).then_some(RawAmount::MAX);\n                match holds.or(unknown) {\n                    None => Some(")],
    ),
    (
        "over-commitment",
        "nobody looks what a stranger holds",
        [],
        ["pair::a_stranger_without_an_account_or_money_is_not_served_on_credit"],
        [("src/receipts/pay/worker/exposure.rs", "if u128::from(balance.unsigned()) < wanted {",
          "if u128::from(balance.unsigned()) < wanted && !crate::mutant(NAME) {")],
    ),
    (
        "flood of receipts, of signatures",
        "receipts are read as they come",
        ["tests::attacks::a_flood_of_receipts_is_passed_over_then_cut"],
        [],
        [("src/receipts/exchange/taking.rs", "} else if !large {", "} else if !large && !crate::mutant(NAME) {")],
    ),
    (
        "flood of receipts, of signatures",
        "quotes and bids are read as they come",
        ["tests::attacks::a_flood_of_quotes_or_bids_is_passed_over_then_cut"],
        [],
        [("src/receipts/exchange/mod.rs", "let may = self.terms > 0;", "let may = self.terms > 0 || crate::mutant(NAME);")],
    ),
    (
        "a payer's old copy of its ledger",
        "evidence is not looked at",
        [],
        ["restored::a_payer_whose_disk_was_set_back_contradicts_nothing"],
        [("src/receipts/exchange/taking.rs", "if ours && signed.is_authentic(&self.setup.domain, grant) {",
          "if ours && !crate::mutant(NAME) && signed.is_authentic(&self.setup.domain, grant) {")],
    ),
    (
        "a payee's old copy",
        "what a payer says it issued is passed over",
        [],
        ["restored::a_payee_with_an_old_copy_of_its_ledger_gets_back_what_it_lost"],
        [("src/receipts/exchange/taking.rs", "            let taken = self.take_receipt(signed, credit, now);\n",
          "            if crate::mutant(NAME) {\n                continue;\n            }\n"
          "            let taken = self.take_receipt(signed, credit, now);\n")],
    ),
]


def tests(row):
    _, _, unit, whole, _ = row
    for name in unit:
        yield "lib", name if name.startswith("swarm::") else UNIT + name
    for name in whole:
        yield "it", name if name.startswith("swarm::payments::") else UNIT + name


def run(programs, mutant, binary, test):
    environment = os.environ | {"MUTANT": mutant, "RUST_BACKTRACE": "0"}
    command = [programs[binary], "--exact", test]
    # There, since a property test leaves what it failed with where it runs.
    done = subprocess.run(command, cwd=programs["tree"], env=environment, capture_output=True, text=True)
    if "1 passed" not in done.stdout and "1 failed" not in done.stdout and done.returncode >= 0:
        sys.exit(f"there is no test `{test}`:\n{done.stdout}{done.stderr}")
    return done.returncode == 0


def main():
    options = Options()
    mutants = [(mutant, edits) for _, mutant, _, _, edits in MUTANTS]
    if options.applies:
        edited(mutants)
        return
    rows = options.chosen(MUTANTS, lambda row: row[1])
    programs = build("attacks", mutants, options.profile)
    for binary, test in sorted({one for row in rows for one in tests(row)}):
        if not run(programs, "", binary, test):
            sys.exit(f"without a mutant `{test}` fails")
    print("| attack | rule that was broken | the test failed |")
    print("|---|---|---|")
    survived = 0
    for row in rows:
        passed = [test for binary, test in tests(row) if run(programs, row[1], binary, test)]
        survived += bool(passed)
        print(f"| {row[0]} | {row[1]} | {'**no**: ' + ', '.join(passed) if passed else 'yes'} |", flush=True)
    sys.exit(1 if survived else 0)


main()

//! Who is there: both hellos, their proofs, and the end.

use super::{Exchange, Output, Stage, violation};
use crate::{
    receipts::{
        body::{Hello, SignedReceipt},
        credit::Credit,
        grant::{GrantRefusal, Revoke, SignedGrant},
        message::{HelloMessage, Message, VERSION},
    },
    swarm::hooks::UploadClass,
    tron::keys::Signature,
    types::{Address, RawAmount, UnixMs},
};

impl Exchange {
    pub(super) fn hello(&mut self, hello: Box<HelloMessage>, now: UnixMs) -> Vec<Output> {
        let reason = if hello.version != VERSION {
            Some("version")
        } else if hello.chain != self.setup.domain.genesis() {
            Some("chain")
        } else if hello.token != self.setup.token {
            Some("token")
        } else if hello.address == self.own() {
            Some("own address")
        } else {
            None
        };
        if let Some(reason) = reason {
            let mut outputs = vec![Output::Send(Message::Bye(reason.to_owned()))];
            outputs.extend(self.over(now));
            return outputs;
        }
        let load = Output::Load {
            peer: hello.address,
            instance: hello.instance,
        };
        self.peer = Some(hello);
        self.stage = Stage::Loading;
        vec![load]
    }

    pub(super) fn hello_struct(&self, peer: &HelloMessage, ours: bool) -> Hello {
        let (own_id, peer_id) = self.setup.peer_ids;
        let us = (self.own(), self.setup.nonce, own_id);
        let them = (peer.address, peer.nonce, peer_id);
        let (this, other) = if ours { (us, them) } else { (them, us) };
        Hello {
            this: this.0,
            peer: other.0,
            nonce_self: this.1,
            nonce_peer: other.1,
            peer_ids: Hello::peer_ids(&this.2, &other.2),
        }
    }

    pub(super) fn auth(
        &mut self,
        signature: Signature,
        credit: &Credit,
        now: UnixMs,
    ) -> Vec<Output> {
        if self.auth.replace(signature).is_some() {
            return vec![violation("sr_pay: a second `auth`")];
        }
        self.establish(credit, now)
    }

    /// Whose key signs for the peer: its account's own, or one that it granted
    /// this to, in time, by a grant that it neither replaced nor took back.
    fn signer_of_peer(&self, peer: &HelloMessage, now: UnixMs) -> Result<Address, GrantRefusal> {
        let Some(grant) = &peer.grant else {
            return Ok(peer.address);
        };
        let signer = grant.grant.signer;
        let context = self.grants.context(signer, RawAmount::ZERO);
        grant.verify(
            &self.setup.domain,
            peer.address,
            self.setup.token,
            Self::secs(now),
            &context,
        )?;
        Ok(signer)
    }

    /// Both hellos are proven and the ledger is read: sync, then terms.
    pub(super) fn establish(&mut self, credit: &Credit, now: UnixMs) -> Vec<Output> {
        let (Some(auth), Stage::Authenticating, Some(peer)) =
            (self.auth, self.stage, self.peer.clone())
        else {
            return Vec::new();
        };
        let Some(known) = self.loaded.take() else {
            return Vec::new();
        };
        self.grants = known.grants;
        self.own_grants = known.own_grants;
        self.friend = known.friend;
        let mut outputs = Vec::new();
        if let Some(revoke) = peer.revoke {
            outputs.push(self.take_revoke(peer.address, revoke));
            if let Some(Output::Close(_)) = outputs.last() {
                return outputs;
            }
        }
        let signer = match self.signer_of_peer(&peer, now) {
            Ok(signer) => signer,
            Err(refusal) => {
                outputs.push(Output::Send(Message::Bye(format!("grant: {refusal}"))));
                outputs.extend(self.over(now));
                return outputs;
            }
        };
        let theirs = self.hello_struct(&peer, false);
        if !self.setup.domain.is_signed_by(&theirs, &auth, signer) {
            return vec![violation(
                "sr_pay: `auth` is not signed by the address of `hello`, nor by its grant's key",
            )];
        }
        self.peer_signer = signer;
        if let Some(grant) = peer.grant {
            self.grants.add(grant);
        }
        self.stage = Stage::Established;
        outputs.extend(self.own_papers(&known.issued, &known.received));
        outputs.push(Output::Send(Message::Sync {
            issued: known.issued,
            received: known.received,
        }));
        if let Some(ask) = self.setup.ask {
            outputs.extend(self.quote(&ask, credit, now));
        }
        self.settled_told = u32::try_from(known.settled.len()).unwrap_or(u32::MAX);
        outputs.extend(
            known
                .settled
                .into_iter()
                .map(|txid| Output::Send(Message::Settled(txid))),
        );
        if self.friend {
            outputs.push(Output::Class(UploadClass::Paid {
                weight: self.setup.ask.map_or(1, |ask| ask.floor_price.max(1)),
            }));
        }
        outputs
    }

    /// The grants that our `sync` needs, and what we took back.
    fn own_papers(&self, issued: &[SignedReceipt], received: &[SignedReceipt]) -> Option<Output> {
        let mut grants: Vec<SignedGrant> = Vec::new();
        let ours = issued.iter().map(|signed| (signed, &self.own_grants));
        let theirs = received.iter().map(|signed| (signed, &self.grants));
        for (signed, known) in ours.chain(theirs) {
            if let Some(grant) = known.get(signed.receipt.grant)
                && !grants.contains(grant)
            {
                grants.push(*grant);
            }
        }
        let revokes = self.setup.revokes.clone();
        let some = !grants.is_empty() || revokes.len() > 1;
        some.then_some(Output::Send(Message::Grants { grants, revokes }))
    }

    /// What the peer took back; it must have signed that itself.
    fn take_revoke(&mut self, peer: Address, (revoke, signature): (Revoke, Signature)) -> Output {
        let domain = &self.setup.domain;
        if revoke.payer != peer || !domain.is_signed_by(&revoke, &signature, peer) {
            return violation("sr_pay: `revoke` is not signed by its payer");
        }
        self.grants.revoke(revoke.signer, revoke.serial);
        Output::Revoked(revoke, signature)
    }

    /// Grants of the peer's, and ours that it holds. One that its payer did not
    /// sign, or another's, says nothing.
    pub(super) fn take_grants(
        &mut self,
        peer: Address,
        grants: &[SignedGrant],
        revokes: &[(Revoke, Signature)],
    ) -> Vec<Output> {
        for grant in grants {
            let payer = grant.grant.payer;
            if !(payer == peer || payer == self.own())
                || grant.check_signature(&self.setup.domain).is_err()
            {
                continue;
            }
            if payer == peer {
                self.grants.add(*grant);
            } else {
                self.own_grants.add(*grant);
            }
        }
        let taken = revokes.iter().map(|revoke| self.take_revoke(peer, *revoke));
        taken.collect()
    }

    pub(super) fn over(&mut self, now: UnixMs) -> Vec<Output> {
        self.stage = Stage::Over;
        self.sale = None;
        self.price = None;
        self.set_held(false, now);
        vec![Output::Class(UploadClass::Free), Output::Wake]
    }
}

//! Who is there: both hellos, their proofs, and the end.

use super::*;

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
        signature: &crate::tron::keys::Signature,
        now: UnixMs,
    ) -> Vec<Output> {
        let Some(peer) = &self.peer else {
            return Vec::new();
        };
        let theirs = self.hello_struct(peer, false);
        if self.early_auth
            || !self
                .setup
                .domain
                .is_signed_by(&theirs, signature, peer.address)
        {
            return vec![violation(
                "sr_pay: `auth` is not signed by the address of `hello`",
            )];
        }
        self.early_auth = true;
        self.establish(now)
    }

    /// Both hellos are proven and the ledger is read: sync, then terms.
    pub(super) fn establish(&mut self, now: UnixMs) -> Vec<Output> {
        if !self.early_auth || self.stage != Stage::Authenticating {
            return Vec::new();
        }
        let Some((issued, received, settled)) = self.loaded.take() else {
            return Vec::new();
        };
        self.stage = Stage::Established;
        let mut outputs = vec![Output::Send(Message::Sync { issued, received })];
        if let Some(ask) = self.setup.ask {
            outputs.extend(self.quote(&ask, now));
        }
        outputs.extend(
            settled
                .into_iter()
                .map(|txid| Output::Send(Message::Settled(txid))),
        );
        outputs
    }

    pub(super) fn over(&mut self, now: UnixMs) -> Vec<Output> {
        self.stage = Stage::Over;
        self.sale = None;
        self.price = None;
        self.set_held(false, now);
        vec![Output::Class(UploadClass::Free), Output::Wake]
    }
}

//! The web seeds of a torrent: between their tasks and the core.

use std::{collections::BTreeSet, sync::Arc};

use super::{Torrent, core::Input};
use crate::swarm::{
    events::Event,
    hooks::ConnId,
    web::{self, MAX_WEB_SEEDS, WebSeed, WebSeedRow},
};

impl Torrent {
    /// Asks the web seeds that it knows, those that the user named first.
    pub(super) fn start_web_seeds(self: &Arc<Self>) {
        let mut known = BTreeSet::new();
        let named = self.setup.named_web_seeds.iter().map(|url| (url, true));
        let others = self.setup.web_seeds.iter().map(|url| (url, false));
        let usable = named
            .chain(others)
            .filter(|(url, _)| web::base(url).is_some_and(|base| known.insert(base)));
        let seeds = usable.take(MAX_WEB_SEEDS).map(|(url, named)| {
            let id = self.shared.next_conn_id();
            Arc::new(WebSeed::new(id, url.clone(), named))
        });
        let seeds: Vec<_> = seeds.collect();
        for seed in self.web_seeds.get_or_init(|| seeds) {
            self.shared.spawn(web::run(self.clone(), seed.clone()));
        }
    }

    pub(super) fn web_seeds(&self) -> &[Arc<WebSeed>] {
        self.web_seeds.get().map_or(&[], Vec::as_slice)
    }

    /// The URLs that the torrent file or link names.
    pub(in crate::swarm) fn public_web_seeds(&self) -> Vec<String> {
        self.setup.web_seeds.clone()
    }

    /// What is to be shown of them.
    pub(in crate::swarm) fn web_seed_rows(&self) -> Vec<WebSeedRow> {
        self.web_seeds().iter().map(|seed| seed.row()).collect()
    }

    /// It may be asked from now on.
    pub(in crate::swarm) fn web_seed_came(self: &Arc<Self>, seed: &WebSeed) {
        let brought = seed.brought.clone();
        self.state().brought.insert(seed.id, brought);
        self.input(Input::WebSeedCame(seed.id));
    }

    /// It is not asked any more; why, if it was given up.
    pub(in crate::swarm) fn web_seed_left(self: &Arc<Self>, seed: &WebSeed) {
        if let WebSeedRow {
            url,
            given_up: Some(message),
            ..
        } = seed.row()
        {
            self.emit(Event::WebSeedFailed { url, message });
        }
        let do_later = self.take_in_last(&mut self.state(), seed.id);
        do_later();
        self.input(Input::Left {
            conn: seed.id,
            reason: String::new(),
        });
    }

    /// A web seed is not asked any more.
    pub(super) fn give_up_web_seed(&self, id: ConnId, why: &str) {
        if let Some(seed) = self.web_seed(id) {
            seed.give_up(why);
        }
    }

    pub(super) fn web_seed(&self, id: ConnId) -> Option<&Arc<WebSeed>> {
        self.web_seeds().iter().find(|seed| seed.id == id)
    }
}

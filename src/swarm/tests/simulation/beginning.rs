//! How a life begins: who is there, over which links, and what will happen to them.

use super::*;

/// What a life is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plot {
    /// Nobody pays.
    Free,
    /// Everybody pays.
    Paid,
    /// Nobody pays, and everybody chooses other files while they come.
    ChoosingFree,
    /// Everybody pays, and chooses other files while they come.
    ChoosingPaid,
    /// Nobody pays, and the seed serves fewer than there are, some of which ask for nothing.
    FewSlots,
}

impl Plot {
    pub(super) fn of(seed: u64) -> Self {
        match seed % 16 {
            3 => Self::ChoosingFree,
            7 => Self::FewSlots,
            12 => Self::ChoosingPaid,
            of if of % 4 == 0 => Self::Paid,
            _ => Self::Free,
        }
    }

    /// The last finish at most in the median, at the 95th percentile and at worst, in percent
    /// of the least time.
    pub(super) fn limits(self) -> [u64; 3] {
        match self {
            Self::Free | Self::Paid => [110, 140, 300],
            Self::ChoosingFree | Self::ChoosingPaid => [80, 110, 300],
            Self::FewSlots => [130, 250, 1000],
        }
    }

    fn pays(self) -> bool {
        matches!(self, Self::Paid | Self::ChoosingPaid)
    }

    fn chooses(self) -> bool {
        matches!(self, Self::ChoosingFree | Self::ChoosingPaid)
    }
}

impl World {
    pub(super) fn new(seed: u64, plot: Plot) -> Self {
        let mut random = Random(seed);
        // What some lives have besides, so that nothing else in them depends on it.
        let mut more = Random(!seed);
        let pieces = 12 + random.below(180);
        let layout = Layout::new(pieces * u64::from(PIECE), PIECE.into()).unwrap();
        let info = plot.chooses().then(|| choosing::files(layout, &mut more));
        let count = usize::try_from(3 + random.below(4)).unwrap();
        let idle = match plot {
            Plot::FewSlots => usize::try_from(1 + more.below(3)).unwrap(),
            _ => 0,
        };
        let rates = [16, 64, 256, 1024, 4096];
        let nodes: Vec<Node> = (0..count + idle)
            .map(|n| {
                let seed = n == 0;
                let idles = n >= count;
                let kind = match random.below(12) {
                    _ if idles => Kind::Idles,
                    0 if !seed && n > 1 => Kind::Stalls,
                    1 if !seed && n > 1 => Kind::Lies,
                    _ => Kind::Honest,
                };
                let up = if seed {
                    1024 << random.below(3)
                } else {
                    rates[usize::try_from(random.below(5)).unwrap()]
                };
                let leech = !seed && kind == Kind::Honest;
                let wanted = match &info {
                    Some(info) if leech => choosing::first(info, &mut more),
                    _ => Wanted::everything(layout),
                };
                let slots = match plot {
                    Plot::FewSlots if seed => usize::try_from(2 + more.below(2)).unwrap(),
                    _ => SLOTS,
                };
                let key = u32::try_from(random.below(1 << 30)).unwrap();
                let choker = Choker::new(slots, random.next());
                let core = leech.then(|| {
                    let none = Bitfield::empty(layout.pieces());
                    let picker = Picker::new(layout, none, wanted, key);
                    let mut core = TorrentCore::new(Phase::Checking { done: 0, total: 0 });
                    core.input(0, Happened::Checked(Box::new(picker), info.clone()));
                    core
                });
                Node {
                    kind,
                    up: up << 10,
                    alive: true,
                    scheduler: Scheduler::new(Some(up << 10), 80),
                    grants_at: None,
                    choker,
                    choked_ms: 0,
                    rechokes: false,
                    passing: Passing::default(),
                    duplicate_limit: choosing::duplicate_limit(core.as_ref()),
                    core,
                    disk_ok: true,
                    conns: BTreeMap::new(),
                    bad: BTreeSet::new(),
                    done_ms: None,
                }
            })
            .collect();
        let count = nodes.len();
        let mut world = Self {
            delay_us: (0..count)
                .map(|_| (0..count).map(|_| 1000 * (1 + random.below(80))).collect())
                .collect(),
            random,
            layout,
            now_us: 0,
            order: 0,
            events: BinaryHeap::new(),
            nodes,
            pays: BTreeMap::new(),
            accounts: BTreeMap::new(),
            price: 0,
            info,
            choices: 0,
        };
        for one in 0..count {
            for other in (0..count).filter(|other| *other != one) {
                world.meet(one, other, plot.pays());
            }
        }
        world.plan(plot, &mut more);
        world
    }

    /// One knows another from the beginning.
    fn meet(&mut self, one: usize, other: usize, paid: bool) {
        let full = self.nodes[other].core.is_none() && self.nodes[other].kind != Kind::Idles;
        if let Some(core) = &mut self.nodes[one].core {
            let name = u8::try_from(other).unwrap();
            let joining = Joining {
                conn: id(other),
                remote: address(other),
                peer_id: [name; 20],
                outgoing: true,
            };
            core.join(joining, &[255; 20]).unwrap();
            core.greet(id(other));
            let claim = if full { Claim::All } else { Claim::None };
            core.claimed(id(other), claim).unwrap();
        }
        self.nodes[one].conns.insert(other, Conn::new());
        if self.nodes[one].kind == Kind::Idles {
            self.send(one, other, Wire::Interested(true));
        }
        if paid && self.nodes[one].core.is_some() {
            let mut duo = Duo::new();
            duo.deliver(100);
            self.price = duo.buyer.machine.purchase_price().unwrap();
            self.pays.insert((one, other), duo);
            self.accounts.insert((one, other), Account::default());
        }
    }

    /// What will happen whatever they do.
    fn plan(&mut self, plot: Plot, more: &mut Random) {
        // Somebody dies, and somebody's disk is full for a while.
        let last = self.nodes.iter().rposition(|node| node.kind != Kind::Idles);
        let last = last.unwrap();
        if self.random.below(4) == 0 && last > 2 {
            let at = 1000 * self.random.below(20_000);
            self.at(at, Happens::Killed(last));
        }
        if self.random.below(5) == 0 {
            self.nodes[1].disk_ok = false;
            let at = 1000 * self.random.below(8_000);
            self.at(at, Happens::DiskBack(1));
        }
        if plot.chooses() {
            self.plan_choices(more);
        }
        self.at(0, Happens::Tick);
        self.at(0, Happens::Rounds);
        self.at(0, Happens::Look);
        if plot.pays() {
            self.at(0, Happens::Pays);
        }
    }
}

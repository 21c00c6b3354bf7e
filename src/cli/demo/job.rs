//! The job itself, step by step.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::ProgressBar;
use serde_json::Value;

use super::{
    Demo,
    process::{Launcher, Party, Process},
    report::{Balances, Download, Report},
};
use crate::{
    cli::{
        Context,
        failure::{Failure, Outcome},
        files::sha256,
        output::Output,
        units::{Size, btt_text},
    },
    tron::rpc::{Finality, Node, NodeConfig},
    types::{Address, RawAmount, Sun, TokenId},
};

/// What the demo made and started.
pub(super) struct Job<'a> {
    out: Output,
    pub(super) demo: &'a Demo,
    root: PathBuf,
    pub(super) launcher: Launcher,
    /// In the order they were started.
    running: Vec<Process>,
}

impl<'a> Job<'a> {
    pub(super) fn new(context: &Context, demo: &'a Demo, root: &Path) -> Outcome<Self> {
        Ok(Self {
            out: context.out,
            demo,
            root: root.to_owned(),
            launcher: Launcher::new(root, demo.keeps())?,
            running: Vec::new(),
        })
    }

    /// Ends every process, the last started first; with `--keep`, says which ones
    /// are left running.
    pub(super) async fn end(self) -> Outcome<Vec<(&'static str, u32)>> {
        let mut kept = Vec::new();
        for process in self.running.into_iter().rev() {
            if self.demo.keeps() {
                kept.push(process.leave()?);
            } else {
                process.end().await;
            }
        }
        Ok(kept)
    }

    pub(super) async fn work(&mut self) -> Outcome<Report> {
        let out = self.out;
        let devnet = self
            .start(
                "devnet",
                None,
                &["devnet", "--port", "0", "--block-time", &self.block_time()],
            )
            .await?;
        let url = text(&devnet, "/url")?.to_owned();
        self.launcher.use_node(&url);
        let node =
            Node::new(&NodeConfig::new(&url)).map_err(|error| Failure::failed("demo", error))?;
        let [seeder, payer, free] = self.parties(&devnet)?;
        if self.demo.keeps() {
            for party in [&seeder, &payer, &free] {
                party.write_environment(&url)?;
            }
        }
        out.note(format!(
            "devnet   {url}, blocks every {}",
            self.block_time()
        ));

        let (file, bytes, sha256) = self.file().await?;
        out.note(format!("file     {}, {}", file.display(), Size(bytes)));
        let tracker = self
            .start("tracker", None, &["tracker", "--listen", "127.0.0.1:0"])
            .await?;
        let tracker = text(&tracker, "/url")?.to_owned();
        out.note(format!("tracker  {tracker}"));

        let torrent = self.root.join("shared.torrent");
        let seeding = self
            .start(
                "seeder",
                Some(&seeder),
                &[
                    "seed",
                    path_text(&file)?,
                    "--tracker",
                    &tracker,
                    "--torrent-out",
                    path_text(&torrent)?,
                    "--ask",
                    &self.demo.ask.as_argument(),
                    "--up-limit",
                    &self.demo.rate.0.to_string(),
                    "--listen",
                    "127.0.0.1:0",
                ],
            )
            .await?;
        out.note(format!(
            "seeder   {} at {}",
            seeder.address,
            text(&seeding, "/listen")?
        ));

        let before = self.balances(&node, &seeder, &payer).await?;
        let page = match self.demo.daemon {
            true => Some(self.start_daemon(&payer).await?),
            false => None,
        };
        let (paid, free) = self.download(&torrent, &payer, &free).await?;
        if paid.sha256 != sha256 || free.sha256 != sha256 {
            return Err(Failure::failed(
                "demo",
                "a downloaded file is not the original",
            ));
        }

        let plan = self
            .launcher
            .run("plan", &payer, &["settle", "plan"])
            .await?;
        show_plan(out, &plan)?;
        let settled = self
            .launcher
            .run("settle", &payer, &["settle", "run", "--yes"])
            .await?;
        let earnings = self
            .launcher
            .run("earnings", &seeder, &["earnings"])
            .await?;
        let after = self.balances(&node, &seeder, &payer).await?;

        let report = Report {
            page,
            bytes,
            sha256,
            paid,
            free,
            earned: raw(&earnings, "/earned_raw")?,
            receipts: count(&earnings, "/receipts")?,
            txids: settled
                .pointer("/txids")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            confirmed: count(&settled, "/confirmed")?,
            fee: Sun(count(&settled, "/fee_sun")?),
            payer: Balances {
                before: before.1,
                after: after.1,
            },
            seeder: Balances {
                before: before.0,
                after: after.0,
            },
            head: node.head(Finality::Head).await?.number,
            solid: node.head(Finality::Solid).await?.number,
        };
        check(&report, raw(&earnings, "/final_raw")?)?;
        Ok(report)
    }

    fn block_time(&self) -> String {
        format!("{}ms", self.demo.block_time.as_millis())
    }

    /// Starts a process that keeps running, and gives its first document.
    pub(super) async fn start(
        &mut self,
        name: &'static str,
        party: Option<&Party>,
        arguments: &[&str],
    ) -> Outcome<Value> {
        let process = self.launcher.start(name, party, arguments)?;
        self.running.push(process);
        match self.running.last_mut() {
            Some(process) => process.expect().await,
            None => Err(Failure::failed("demo", "nothing was started")),
        }
    }

    fn parties(&self, devnet: &Value) -> Outcome<[Party; 3]> {
        let party = |name: &'static str, index: usize| -> Outcome<Party> {
            let account = |field: &str| text(devnet, &format!("/accounts/{index}/{field}"));
            let address: Address = account("address")?
                .parse()
                .map_err(|error| Failure::failed("demo", error))?;
            Ok(Party {
                home: self.root.join(name),
                address,
                private_key: account("private_key")?.to_owned(),
            })
        };
        Ok([party("seeder", 1)?, party("payer", 2)?, party("free", 3)?])
    }

    /// The file to share, its size and SHA-256.
    async fn file(&self) -> Outcome<(PathBuf, u64, String)> {
        let path = match &self.demo.file {
            Some(path) => path
                .canonicalize()
                .map_err(|error| Failure::file(path, error))?,
            None => {
                let path = self.root.join("demo.bin");
                let (target, size) = (path.clone(), self.demo.size.0);
                blocking(move || {
                    make(&target, size).map_err(|error| Failure::file(&target, error))
                })
                .await?;
                path
            }
        };
        let metadata = fs::metadata(&path).map_err(|error| Failure::file(&path, error))?;
        if !metadata.is_file() || metadata.len() == 0 {
            return Err(Failure::file(
                &path,
                "the demo shares one file that is not empty",
            ));
        }
        let hash = sha256(&path).await?;
        Ok((path, metadata.len(), hash))
    }

    /// Both leechers at once, to their ends.
    async fn download(
        &self,
        torrent: &Path,
        payer: &Party,
        free: &Party,
    ) -> Outcome<(Download, Download)> {
        let bar = |name: &str| {
            let bar = self.out.bar(
                1,
                "{prefix:<11} {bar:32} {percent:>3}% {binary_bytes_per_sec:>13}  {msg}",
            );
            bar.set_prefix(name.to_owned());
            bar
        };
        let bid = self.demo.bid.as_argument();
        let terms = ["--bid", &bid];
        let not_paying = self.leech("free", free, torrent, &[], bar("not paying"));
        if self.demo.daemon {
            let paying = self.daemon_leech(payer, torrent, bar("paying"));
            return tokio::try_join!(paying, not_paying);
        }
        let paying = self.leech("payer", payer, torrent, &terms, bar("paying"));
        tokio::try_join!(paying, not_paying)
    }

    async fn leech(
        &self,
        name: &'static str,
        party: &Party,
        torrent: &Path,
        more: &[&str],
        bar: ProgressBar,
    ) -> Outcome<Download> {
        let folder = party.home.join("downloads");
        let rate = self.demo.leech_rate.0.to_string();
        let mut arguments = vec![
            "get",
            path_text(torrent)?,
            "-o",
            path_text(&folder)?,
            "--sha256",
            "--up-limit",
            &rate,
            "--listen",
            "127.0.0.1:0",
        ];
        arguments.extend(more);
        let mut process = self.launcher.start(name, Some(party), &arguments)?;
        let done = loop {
            let event = process.expect().await?;
            match text(&event, "/event")? {
                "progress" => {
                    bar.set_length(count(&event, "/total")?);
                    bar.set_position(count(&event, "/downloaded")?);
                    let spent = raw(&event, "/spent_raw")?;
                    if spent > RawAmount::ZERO {
                        bar.set_message(format!("spent {}", btt_text(spent.unsigned())));
                    }
                }
                "done" => break event,
                _ => {}
            }
        };
        let spent = raw(&done, "/spent_raw")?;
        if spent > RawAmount::ZERO {
            bar.set_message(format!("spent {}", btt_text(spent.unsigned())));
        }
        bar.finish();
        process.succeed().await?;
        let path = PathBuf::from(text(&done, "/path")?);
        let seconds = done
            .pointer("/seconds")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        let millis = u64::try_from(Duration::from_secs_f64(seconds.max(0.0)).as_millis())
            .unwrap_or(u64::MAX);
        Ok(Download {
            millis,
            sha256: sha256(&path).await?,
            spent,
        })
    }

    /// Solid BTT of the seeder and of the payer.
    async fn balances(
        &self,
        node: &Node,
        seeder: &Party,
        payer: &Party,
    ) -> Outcome<(RawAmount, RawAmount)> {
        let balance = async |address| -> Outcome<RawAmount> {
            let account = node.account(Finality::Solid, address).await?;
            let tokens = account.map(|account| account.tokens).unwrap_or_default();
            Ok(tokens.get(&TokenId::BTT).copied().unwrap_or_default())
        };
        Ok((
            balance(seeder.address).await?,
            balance(payer.address).await?,
        ))
    }
}

/// The demo's own claims must hold before it makes them.
fn check(report: &Report, found_on_chain: RawAmount) -> Outcome {
    let sum = |a: RawAmount, b: RawAmount| a.checked_add(b).unwrap_or(RawAmount::MAX);
    let spent = report.paid.spent;
    let claims = [
        (
            "the receipts are not worth what was signed",
            report.earned == spent,
        ),
        (
            "the seeder's node does not show what its receipts say",
            found_on_chain == spent,
        ),
        (
            "the payer's balance did not fall by what was signed",
            sum(report.payer.after, spent) == report.payer.before,
        ),
        (
            "the seeder's balance did not rise by what was signed",
            sum(report.seeder.before, spent) == report.seeder.after,
        ),
        (
            "a payout is not solid",
            u64::try_from(report.txids.len()) == Ok(report.confirmed),
        ),
    ];
    match claims.iter().find(|(_, holds)| !holds) {
        Some((claim, _)) => Err(Failure::failed(
            "demo",
            format!("the demo does not add up: {claim} ({report:?})"),
        )),
        None => Ok(()),
    }
}

fn show_plan(out: Output, plan: &Value) -> Outcome {
    out.line("\nPlan")?;
    for payout in plan
        .pointer("/payouts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        out.line(format!(
            "  pay {} BTT to {}",
            text(payout, "/amount")?,
            text(payout, "/payee")?
        ))?;
    }
    let fee = Sun(count(plan, "/fee_sun_estimate")?);
    let (needed, available) = (
        count(plan, "/bandwidth_needed")?,
        count(plan, "/bandwidth_available")?,
    );
    out.line(format!(
        "  expected fee {fee}; bandwidth needed {needed}, available {available}"
    ))
}

pub(super) fn missing(document: &Value, pointer: &str) -> Failure {
    Failure::failed("demo", format!("`{pointer}` is missing in {document}"))
}

pub(super) fn text<'v>(document: &'v Value, pointer: &str) -> Outcome<&'v str> {
    document
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| missing(document, pointer))
}

pub(super) fn count(document: &Value, pointer: &str) -> Outcome<u64> {
    document
        .pointer(pointer)
        .and_then(Value::as_u64)
        .ok_or_else(|| missing(document, pointer))
}

pub(super) fn raw(document: &Value, pointer: &str) -> Outcome<RawAmount> {
    text(document, pointer)?
        .parse()
        .map_err(|error| Failure::failed("demo", error))
}

pub(super) fn path_text(path: &Path) -> Outcome<&str> {
    path.to_str()
        .ok_or_else(|| Failure::file(path, "the demo needs paths in UTF-8"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::failed("demo", error))?
}

/// A file of random bytes, so that nothing on the way can compress or guess it.
fn make(path: &Path, size: u64) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    let mut chunk = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        getrandom::fill(&mut chunk).map_err(std::io::Error::other)?;
        let part = chunk
            .len()
            .min(usize::try_from(left).unwrap_or(chunk.len()));
        file.write_all(chunk.split_at(part).0)?;
        left -= part as u64;
    }
    file.flush()
}

//! Work that asks the node and blocks in between, on a thread of its own. It must be over before
//! the runtime is: whoever waits for a timer after that panics.

use std::time::Duration;

use tokio::{runtime::Handle, sync::watch};

/// How long such work is waited for: a person may be asked for a passphrase.
const WAIT: Duration = Duration::from_secs(2);

/// Has such work end: when it is dropped, or in order by [`end`](Self::end).
#[derive(Debug)]
pub(super) struct Ends(watch::Sender<bool>);

/// What such work holds as long as it goes on.
#[derive(Debug, Clone)]
pub(super) struct Ended(watch::Receiver<bool>);

impl Ends {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(super) fn ended(&self) -> Ended {
        Ended(self.0.subscribe())
    }

    /// Tells all of it to end, and waits until it has.
    pub(super) async fn end(self) {
        self.0.send_replace(true);
        if tokio::time::timeout(WAIT, self.0.closed()).await.is_err() {
            tracing::debug!("work with the node is still held up, and ends when it goes on");
        }
    }
}

impl Ended {
    /// Nothing new is to be begun.
    pub(super) fn is_over(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Does the work on this thread. `None` if it had to end before: then it is dropped where
    /// it waits.
    pub(super) fn block_on<T>(
        mut self,
        runtime: &Handle,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        runtime.block_on(async {
            tokio::select! {
                // First: then nothing of the work is looked at any more.
                biased;
                _ended = self.0.wait_for(|ended| *ended) => None,
                done = work => Some(done),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn work_that_waits_ends_before_the_runtime_does() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (began, begun) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let ends = Ends::new();
        let (ended, handle) = (ends.ended(), runtime.handle().clone());
        runtime.spawn_blocking(move || {
            let work = async {
                let mut ticks = tokio::time::interval(Duration::from_millis(1));
                loop {
                    ticks.tick().await;
                    // Nobody counts them.
                    let _told = began.send(());
                }
            };
            let done: Option<()> = ended.block_on(&handle, work);
            tell.send(done.is_none()).unwrap();
        });
        begun.recv().unwrap();
        runtime.block_on(ends.end());
        runtime.shutdown_background();
        // Whoever panics tells nothing.
        assert_eq!(told.recv(), Ok(true));
    }

    #[tokio::test]
    async fn whoever_comes_late_begins_nothing() {
        let ends = Ends::new();
        let ended = ends.ended();
        assert!(!ended.is_over());
        let dropped = ended.clone();
        let late = tokio::spawn(async move {
            while !dropped.is_over() {
                tokio::task::yield_now().await;
            }
        });
        drop(ended);
        ends.end().await;
        late.await.unwrap();
    }
}

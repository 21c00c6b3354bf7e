//! The threads of a command.

use std::time::Duration;

use tokio::runtime::Builder;

/// How long a thread for blocking work is kept when it has none. One more is started whenever
/// none rests at that very moment, and all take turns: kept for tokio's ten seconds, 50 would
/// stay where 3 are needed at once, each with memory of its own.
const RESTS: Duration = Duration::from_millis(20);

pub(super) fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_keep_alive(RESTS);
    builder
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Threads of a burst.
    const BURST: usize = 40;
    /// How far apart the jobs after it begin.
    const PACE: Duration = Duration::from_millis(4);

    #[test]
    fn threads_of_a_burst_are_not_kept_by_what_few_can_do() {
        let threads = Arc::new(AtomicUsize::new(0));
        let (begun, ended) = (threads.clone(), threads.clone());
        let mut builder = builder();
        builder.worker_threads(1);
        builder.on_thread_start(move || {
            begun.fetch_add(1, Ordering::SeqCst);
        });
        builder.on_thread_stop(move || {
            ended.fetch_sub(1, Ordering::SeqCst);
        });
        let runtime = builder.build().unwrap();
        runtime.block_on(async {
            // None goes on before all are there: each has a thread.
            let all = Arc::new(Barrier::new(BURST));
            let together = || {
                let all = all.clone();
                tokio::task::spawn_blocking(move || {
                    all.wait();
                })
            };
            let burst: Vec<_> = (0..BURST).map(|_| together()).collect();
            for job in burst {
                job.await.unwrap();
            }
            // Each of the 40 would get one of these within 160 ms, and never rest for long.
            let mut ticks = tokio::time::interval(PACE);
            let jobs = async {
                while threads.load(Ordering::SeqCst) > BURST / 2 {
                    ticks.tick().await;
                    tokio::task::spawn_blocking(|| {}).await.unwrap();
                }
            };
            let in_time = tokio::time::timeout(Duration::from_secs(60), jobs).await;
            in_time.expect("the threads of the burst are still there");
        });
    }
}

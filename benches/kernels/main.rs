//! What `scripts/bench` measures: one kernel for some seconds, on some threads.
//! `kernels NAME SECONDS THREADS` prints
//! `{"ops":…,"wall_s":…,"cpu_s":…}`, of the timed part alone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that fails shall end with a panic; its result is its output"
)]

mod receipts;
mod tx;

use std::{
    thread,
    time::{Duration, Instant},
};

/// Something done again and again; the number makes each time different.
type Kernel = Box<dyn FnMut(u64) + Send>;

/// Each thread gets a kernel of its own.
type Make = fn() -> Kernel;

/// The kernels by name.
const KERNELS: &[(&str, Make)] = &[
    ("tx-bound", tx::bound),
    ("tx-build-sign", tx::build_and_sign),
    ("receipts-bound", receipts::bound),
    ("receipts-check", receipts::check),
    ("receipts-line", receipts::line),
];

/// Processor time of this process, from `/proc/self/stat` in hundredths of a
/// second (`USER_HZ` is 100 on every Linux).
fn cpu_hundredths() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name, in parentheses, may hold spaces; utime and stime are the 12th
    // and 13th fields after it.
    let (_, after) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [name, seconds, threads] = arguments.as_slice() else {
        for (name, _) in KERNELS {
            println!("{name}");
        }
        return;
    };
    let (_, make) = KERNELS
        .iter()
        .find(|(known, _)| known == name)
        .unwrap_or_else(|| panic!("there is no kernel `{name}`"));
    let seconds = Duration::from_secs_f64(seconds.parse().unwrap());
    let threads: u64 = threads.parse().unwrap();

    let mut kernels: Vec<Kernel> = (0..threads).map(|_| make()).collect();
    for kernel in &mut kernels {
        kernel(u64::MAX);
    }
    let (begin, cpu) = (Instant::now(), cpu_hundredths());
    let workers: Vec<_> = kernels
        .into_iter()
        .enumerate()
        .map(|(n, mut kernel)| {
            let first = u64::try_from(n).unwrap() << 32;
            thread::spawn(move || {
                let mut done = 0;
                while begin.elapsed() < seconds {
                    // The clock costs little beside 16 signatures.
                    for _ in 0..16 {
                        kernel(first + done);
                        done += 1;
                    }
                }
                done
            })
        })
        .collect();
    let ops: u64 = workers.into_iter().map(|w| w.join().unwrap()).sum();
    let wall = begin.elapsed().as_micros();
    let cpu = cpu_hundredths() - cpu;
    println!(
        "{{\"ops\":{ops},\"wall_s\":{}.{:06},\"cpu_s\":{}.{:02}}}",
        wall / 1_000_000,
        wall % 1_000_000,
        cpu / 100,
        cpu % 100
    );
}

//! Tests of `receipts` from outside.

mod attacks;
mod economy;
mod failing;
mod grants;
mod kill;
mod link;
mod market;
mod mixed;
mod pair;
mod processes;
mod restored;
mod strangers;
mod swarm;
mod wire;

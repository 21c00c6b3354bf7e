//! Tests of `receipts` from outside.

mod attacks;
mod economy;
mod grants;
mod grouped;
mod independent;
mod kill;
mod mixed;
mod pair;
mod processes;
mod restored;
mod spite;
mod strangers;
mod swarm;
mod terms;
mod told;

//! Tests of `swarm` from outside: real sockets on loopback, real files.

mod checking;
mod discovery;
mod fast;
mod floods;
mod full_disk;
mod goals;
mod hostile;
pub(crate) mod interop;
mod kills;
mod limits;
mod names;
mod neighbours;
mod others_files;
mod padding;
mod pausing;
mod payments;
mod ports;
mod relocation;
mod resume;
mod seeding;
mod selection;
mod siege;
mod tracker_manners;
mod transfer;
mod transports;
mod udp_tracker;
mod web_seeds;

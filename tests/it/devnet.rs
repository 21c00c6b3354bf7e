//! Tests of `devnet` from outside: through HTTP, as a client sees it.

mod node;

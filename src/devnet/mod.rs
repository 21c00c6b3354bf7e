//! The embedded TRON node.

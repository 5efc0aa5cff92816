//! A full disk, and files that were damaged.

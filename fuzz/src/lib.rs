//! Inputs that mean no good, the same for the same seed.
//!
//! libFuzzer needs unsafe code and a nightly compiler for its sanitizers; the
//! workspace forbids the one and is built by a stable release of the other. So inputs
//! are mutated from committed corpora by a seed, and what finds a defect joins
//! the corpus. A target is a function of bytes, which any fuzzer can call.

mod hostile;
mod mutate;
mod settings;

pub use hostile::Hostile;
pub use mutate::Mutator;
pub use settings::Settings;

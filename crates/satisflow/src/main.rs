//! Satisflow: exact satisfaction KPIs from a stream of customer feedback.

mod arguments;
mod cli;
mod command;
mod packs;
mod report;
mod setup;
mod times;

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("satisflow: {error:#}");
            ExitCode::FAILURE
        }
    }
}

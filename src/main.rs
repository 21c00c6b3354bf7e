//! The `seedrail` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    seedrail::cli::main()
}

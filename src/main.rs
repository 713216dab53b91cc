//! The `farebox` command. All of it is in the library's `cli` room; on wasm32 there is none.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    farebox::cli::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {}

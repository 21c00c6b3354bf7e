//! Adds to the binary, and to nothing else, what no safe Rust can say: `src/malloc.c`.

fn main() {
    println!("cargo::rerun-if-changed=src/malloc.c");
    #[cfg(feature = "cli")]
    keep_one_heap();
}

/// Only glibc has these settings; elsewhere there is nothing to set.
#[cfg(feature = "cli")]
fn keep_one_heap() {
    let is = |name: &str, wanted: &str| std::env::var(name).is_ok_and(|value| value == wanted);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        for object in cc::Build::new()
            .file("src/malloc.c")
            .compile_intermediates()
        {
            println!("cargo::rustc-link-arg-bins={}", object.display());
        }
    }
}

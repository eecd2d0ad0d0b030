//! Where functions lie in the released program.
//!
//! A page of the program that is touched brings its neighbours into memory. `link/order.txt` names the functions that
//! run day and night; the linker lays them side by side, and three quarters of the text stay on the disk. A name that
//! is not there any more is passed over: `make order` writes the list anew, and `make bench` says how much of it holds.

use std::env;
use std::process::Command;

/// Where Rust links with lld by default, whose flag it is.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The C library of this machine: the program runs with this version or a later one. 2.36 reads packed relocations.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let (major, minor) = str::from_utf8(&said.stdout).ok()?.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=link/order.txt");
    println!("cargo:rerun-if-env-changed=UNSTICK_LINK_ORDER");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    // Whoever chose a linker of their own may have one without the flag.
    let chosen = env::var_os("RUSTC_LINKER").is_some()
        || env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    if is("TARGET", TARGET) && is("PROFILE", "release") && !chosen && !is("UNSTICK_LINK_ORDER", "off") {
        let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={root}/link/order.txt");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
        // Addresses to be filled in at the start, a bit each instead of 24 bytes that have to be read.
        if glibc().is_some_and(|version| version >= (2, 36)) {
            println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

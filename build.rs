//! Links libgcc's unwinder into the program where the compiler has it as an archive: loading it as a
//! library of its own costs every start a tenth of a millisecond, for backtraces of a program that
//! aborts on panic (docs/performance.md).

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let Ok(output) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else { return };
    let file = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // Without such a file `cc` prints the bare name.
    if let Some(dir) = Path::new(&file).parent().filter(|d| d.is_absolute()) {
        println!("cargo:rustc-link-search=native={}", dir.display());
        println!("cargo:rustc-link-lib=static:+whole-archive=gcc_eh");
    }
}

//! What the fuzzer is given to begin with, and what it has found so far, as ordinary tests: `fuzz/` says
//! what must hold of it, and needs no fuzzer for that.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn every_seed(target: &str, holds: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut all: Vec<_> = fs::read_dir(&seeds).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 5, "{} has few seeds: {}", seeds.display(), all.len());
    for seed in all {
        println!("{}", seed.display());
        targets::within_time(holds, &fs::read(&seed).unwrap());
    }
}

#[test]
fn every_spec() {
    every_seed("spec", targets::spec::holds);
}

#[test]
fn every_journal() {
    every_seed("journal", targets::journal::holds);
}

#[test]
fn every_message() {
    every_seed("notify", targets::notify::holds);
}

#[test]
fn every_snapshot() {
    every_seed("snapshot", targets::snapshot::holds);
}

/// Seeds that are refused at once would try nothing.
#[test]
fn seeds_are_what_they_are_called() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/snapshot");
    for seed in fs::read_dir(seeds).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read(&seed).unwrap();
        let end = text.windows(2).position(|w| w == b"#!").unwrap_or(text.len());
        let read = engine::snapshot::file::read(&text[..end], "0.1.0");
        assert!(read.is_ok(), "{}: {:?}", seed.display(), read.err());
    }
}

/// Lines that are moved about stay within what there is room for.
#[test]
fn mutations_fit() {
    let text = b"a: 1\nb: 2\n  c: 3\n\nd:\n";
    let mut changed = 0;
    for seed in 0..20_000 {
        let mut data = [b'x'; 40];
        data[..text.len()].copy_from_slice(text);
        if let Some(size) = targets::lines::mutate(&mut data, text.len(), 32, seed) {
            assert!(size <= 32);
            changed += usize::from(data[..size] != *text);
        }
    }
    assert!(changed > 4_000, "{changed}");
}

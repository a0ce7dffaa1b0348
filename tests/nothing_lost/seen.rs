//! What is on the machine: files, processes, sockets, locks and mounts.

use crate::kernel;
use crate::scene::Scene;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// One line for each thing. `root`: the machine is the test's own, and everything on it counts.
#[derive(Clone, PartialEq)]
pub struct Machine(BTreeSet<String>);

impl Machine {
    pub fn look(scene: &Scene) -> Machine {
        let mut all = BTreeSet::new();
        tree(&scene.dir, &mut all);
        for pid in scene.processes() {
            all.insert(format!("process {pid}: {}", kernel::command_line(pid)));
        }
        if scene.own_machine {
            for table in ["tcp", "tcp6", "udp", "udp6"] {
                // 06 is TIME_WAIT: a connection that is over, and nobody's.
                let lines = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap_or_default();
                let sockets = lines.lines().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>());
                all.extend(sockets.filter(|w| w[3] != "06").map(|w| format!("{table} {} {}", w[1], w[9])));
            }
            let unix = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
            all.extend(
                unix.lines().skip(1).filter_map(|l| Some(format!("unix {}", l.split_whitespace().nth(7)?))),
            );
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            all.extend(mounts.lines().map(|l| format!("mount {l}")));
            let here = |l: &&str| {
                l.split_whitespace().nth(5).is_some_and(|f| scene.device().is_some_and(|d| f.starts_with(&d)))
            };
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            all.extend(locks.lines().filter(here).map(|l| format!("lock {l}")));
        }
        Machine(all)
    }

    /// Whether that process was there.
    pub fn has_process(&self, pid: i32) -> bool {
        let begin = format!("process {pid}:");
        self.0.iter().any(|l| l.starts_with(&begin))
    }

    /// What is there now and was not there before, and the other way round. A log that was written to stays.
    pub fn changed(&self, before: &Machine) -> Vec<String> {
        let more = self.0.difference(&before.0).map(|l| format!("+ {l}"));
        let less = before.0.difference(&self.0).map(|l| format!("- {l}"));
        more.chain(less).collect()
    }

    /// Without what is in the files: two runs write two numbers.
    pub fn shape(&self) -> Machine {
        Machine(self.0.iter().map(|l| l.split(" \"").next().unwrap_or_default().to_owned()).collect())
    }

    /// Without files and what has their names: what runs, listens, locks.
    pub fn without_files(&self) -> Machine {
        let file = |l: &&String| l.starts_with('/') || l.starts_with("unix /");
        Machine(self.0.iter().filter(|l| !file(l)).cloned().collect())
    }

    /// The same, once the machine has come to rest: those who were told to end may need their time.
    pub fn left(scene: &Scene, before: &Machine) -> Vec<String> {
        Machine::left_of(scene, before, Machine::clone)
    }

    /// The same for what this leaves of it.
    pub fn left_of(scene: &Scene, before: &Machine, of: fn(&Machine) -> Machine) -> Vec<String> {
        let begin = Instant::now();
        loop {
            let changed = of(&Machine::look(scene)).changed(&of(before));
            if changed.is_empty() || begin.elapsed() > Duration::from_secs(20) {
                return changed;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn tree(dir: &Path, all: &mut BTreeSet<String>) {
    for path in crate::sandbox::entries(dir) {
        // Journals are a copy for people, and stay.
        if path.ends_with(".state") {
            continue;
        }
        let Ok(m) = fs::symlink_metadata(&path) else { continue };
        let text = if m.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        all.insert(format!(
            "{} {:o} {}:{} {:?}",
            path.display(),
            m.mode(),
            m.uid(),
            m.gid(),
            String::from_utf8_lossy(&text)
        ));
        if m.is_dir() {
            tree(&path, all);
        }
    }
}

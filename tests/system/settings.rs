//! Settings of the process, looked at in the program that has inherited them.

use crate::kernel::{self, process};
use crate::sandbox::{EXTRA, Needs, OTHER, SVC, World, binary, done, eventually, sh, test};
use std::fs;

/// Starts `sleep NUMBER` under twistd with these phases more, in this order; its process, and the keeper's.
fn started(world: &World, number: u32, phases: &str, order: &str) -> (i32, i32) {
    let text = format!("rsd: 1\nname: demo\nextends: twistd\nphases:\n{phases}order: [{order}]\n");
    world.file("spec.yaml", &text, 0o644);
    let number = number.to_string();
    world.fine(&["run", "--spec", "spec.yaml", "--uid", "svc", "--", "sleep", &number]);
    let program = eventually("it sleeps", || kernel::running(&format!("sleep {number}")).first().copied());
    (program, world.pid("twistd.pid"))
}

fn set(pid: i32, name: &str) -> u64 {
    u64::from_str_radix(process(pid).field(name), 16).expect("hexadecimal")
}

/// Soft and hard limit, as the kernel prints them.
fn limit(pid: i32, name: &str) -> (String, String) {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a soft limit"), words.next().expect("a hard limit"))
}

const PORT: u64 = 1 << 10;

#[test]
fn capabilities_that_the_drop_keeps() {
    test("settings::capabilities_that_the_drop_keeps", Needs::Root, |world| {
        let phases = "  cut: { kind: bounding-set, with: { keep: cap_net_bind_service } }\n  \
                      switchUidGid: { with: { capabilities: cap_net_bind_service, groups: other } }\n  \
                      port: { kind: privileged-start, needs: [switchUidGid], with: { listen: 'tcp:127.0.0.1:81' } }\n";
        let (program, keeper) = started(world, 1040, phases, "cut, switchUidGid");
        for pid in [program, keeper] {
            process(pid).is(SVC, SVC, &[SVC, EXTRA, OTHER]);
            for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(set(pid, name), PORT, "{name} of {pid}");
            }
            assert_eq!(process(pid).field("NoNewPrivs"), "0");
        }
        world.fine(&["stop", "--spec", "spec.yaml"]);
        // A program of that user binds what it could not otherwise, and nothing else is given to it.
        let probe = "import socket, os\n\
                     socket.create_server(('127.0.0.1', 82))\n\
                     try: os.chown('/etc/shadow', 0, 0)\n\
                     except PermissionError: print('bound, and no chown', flush=True)\n";
        world.file("probe.py", probe, 0o644);
        world.fine(&["run", "--spec", "spec.yaml", "--uid", "svc", "--", "/usr/bin/python3", "probe.py"]);
        eventually("the probe spoke", || {
            fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.contains("bound, and no chown"))
        });
    });
}

#[test]
fn what_is_out_of_the_bounding_set_no_set_id_program_gives_back() {
    let name = "settings::what_is_out_of_the_bounding_set_no_set_id_program_gives_back";
    test(name, Needs::Root, |world| {
        for (cut, wanted) in [("", 0), ("with: { keep: [net_raw] }", 1u64 << 13)] {
            let phases = format!("  cut: {{ kind: bounding-set, {cut} }}\n").replace(", }", " }");
            let spec =
                format!("rsd: 1\nname: demo\nextends: twistd\nphases:\n{phases}order: [cut, switchUidGid]\n");
            world.file("spec.yaml", &spec, 0o644);
            let set_id = world.text("look");
            sh("install", &["-m", "4755", "/usr/bin/grep", &set_id]);
            world.fine(&[
                "run",
                "--spec",
                "spec.yaml",
                "--uid",
                "svc",
                "--",
                &set_id,
                "-e",
                "Uid",
                "-e",
                "CapEff",
                "/proc/self/status",
            ]);
            let text = eventually("it looked", || {
                fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.contains("CapEff"))
            });
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(words[1..3], [&SVC.to_string(), "0"], "it is root by its set-id bit: {text}");
            assert_eq!(words[6], format!("{wanted:016x}"), "{text}");
            eventually("it is gone", || {
                (!world.path("twistd.pid").exists()).then_some(()).or_else(|| {
                    world.rsd(&["status", "--spec", "spec.yaml"]).out.contains("not running").then_some(())
                })
            });
            fs::remove_file(world.path("twistd.log")).expect("the log");
        }
    });
}

#[test]
fn limits_and_priorities_are_the_programs() {
    test("settings::limits_and_priorities_are_the_programs", Needs::Root, |world| {
        let phases = "  limits: { kind: limits, with: { core: 0, nofile: '100:200', as: 2GiB, cpu: 2h } }\n  \
                      nice: { kind: nice, with: { value: -7 } }\n  \
                      io: { kind: io-priority, with: { class: realtime, level: 2 } }\n  \
                      oom: { kind: oom-score, with: { adjust: 321 } }\n  \
                      bits: { kind: securebits, with: { bits: [noroot, noroot-locked] } }\n  \
                      last: { kind: no-new-privileges, privilege: user }\n";
        let order = "limits, nice, io, oom, bits, switchUidGid, last, startApplication";
        let (program, _) = started(world, 1041, phases, order);
        let is = |name: &str, soft: &str, hard: &str| {
            assert_eq!(limit(program, name), (soft.to_owned(), hard.to_owned()), "{name}");
        };
        is("Max core file size", "0", "0");
        is("Max open files", "100", "200");
        is("Max address space", "2147483648", "2147483648");
        is("Max cpu time", "7200", "7200");
        assert_eq!(process(program).nice(), -7);
        assert_eq!(fs::read_to_string(format!("/proc/{program}/oom_score_adj")).expect("it").trim(), "321");
        assert_eq!(process(program).field("NoNewPrivs"), "1");
        let io = done(world.command("ionice").args(["-p", &program.to_string()]));
        assert_eq!(io.out.trim(), "realtime: prio 2", "{io:?}");
        world.fine(&["stop", "--spec", "spec.yaml"]);
        // The daemon's own timeline has it: a later program may look whom it is run by.
        let timeline = world.timeline(None);
        let spans = timeline["spans"].as_array().expect("spans");
        let last = spans.iter().find(|s| s["phase"] == "last").expect("the phase");
        assert_eq!(last["identity_before"]["no_new_privs"], false);
        assert_eq!(last["identity_after"]["no_new_privs"], true);
        assert_eq!(last["identity_after"]["securebits"], serde_json::json!(["noroot", "noroot-locked"]));
    });
}

#[test]
fn scheduling_policies() {
    test("settings::scheduling_policies", Needs::Root, |world| {
        for (policy, wanted) in [("policy: batch", "SCHED_BATCH"), ("policy: rr, priority: 3", "SCHED_RR")] {
            let phases = format!("  how: {{ kind: scheduler, with: {{ {policy} }} }}\n");
            let (program, _) = started(world, 1042, &phases, "how, switchUidGid");
            let seen = done(world.command("chrt").args(["-p", &program.to_string()]));
            assert!(seen.out.contains(wanted), "{seen:?}");
            world.fine(&["stop", "--spec", "spec.yaml"]);
        }
    });
}

#[test]
fn no_new_privileges_makes_a_set_id_program_an_ordinary_one() {
    let name = "settings::no_new_privileges_makes_a_set_id_program_an_ordinary_one";
    test(name, Needs::Root, |world| {
        let set_id = world.text("whoami");
        sh("install", &["-m", "4755", "/usr/bin/id", &set_id]);
        for (phases, order, wanted) in [
            ("", "switchUidGid", "0"),
            ("  last: { kind: no-new-privileges }\n", "switchUidGid, last, startApplication", "4000"),
        ] {
            let body = if phases.is_empty() { "" } else { "phases:\n" };
            let spec = format!("rsd: 1\nname: demo\nextends: twistd\n{body}{phases}order: [{order}]\n");
            world.file("spec.yaml", &spec, 0o644);
            world.fine(&["run", "--spec", "spec.yaml", "--uid", "svc", "--pidfile=", "--", &set_id, "-u"]);
            let text = eventually("it spoke", || {
                fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.ends_with('\n'))
            });
            assert_eq!(text.trim(), wanted);
            fs::remove_file(world.path("twistd.log")).expect("the log");
        }
    });
}

/// Makes a session keyring with a key in it, and becomes what its arguments say.
const WITH_KEY: &str = "import ctypes, os, sys
c = ctypes.CDLL(None, use_errno=True)
assert c.syscall(250, 1, None) > 0
assert c.syscall(248, b'user', b'rsd-secret', b'x', 1, -3) > 0
os.execvp(sys.argv[1], sys.argv[1:])";

#[cfg(target_arch = "x86_64")]
#[test]
fn the_keys_of_the_caller_are_out_of_reach() {
    test("settings::the_keys_of_the_caller_are_out_of_reach", Needs::Root, |world| {
        for (phases, order, sees) in
            [("", "umask", true), ("phases: { own: { kind: keyring } }\n", "own, switchUidGid", false)]
        {
            let spec = format!("rsd: 1\nname: demo\nextends: twistd\n{phases}order: [{order}]\n");
            world.file("spec.yaml", &spec, 0o644);
            let mut caller = world.command("/usr/bin/python3");
            caller.args(["-c", WITH_KEY]).arg(binary());
            caller.args(["run", "--spec", "spec.yaml", "--uid", "svc", "--pidfile=", "--"]);
            let out = done(caller.args(["sh", "-c", "cat /proc/keys; echo end"]));
            assert_eq!(out.code, 0, "{out:?}");
            let text = eventually("it looked", || {
                fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.ends_with("end\n"))
            });
            assert_eq!(text.contains("rsd-secret"), sees, "{text}");
            fs::remove_file(world.path("twistd.log")).expect("the log");
        }
    });
}

/// What the check refuses really fails, and with that error.
#[test]
fn what_is_refused_fails() {
    test("settings::what_is_refused_fails", Needs::Root, |world| {
        let denied = "Operation not permitted";
        for (phases, order, phase, message) in [
            ("cut: { kind: bounding-set }", "switchUidGid, cut", "cut", denied),
            ("bits: { kind: securebits, with: { bits: noroot } }", "switchUidGid, bits", "bits", denied),
            ("nice: { kind: nice, with: { value: -1 } }", "switchUidGid, nice", "nice", "Permission denied"),
            (
                "oom: { kind: oom-score, with: { adjust: 9 } }",
                "switchUidGid, oom",
                "oom",
                "Permission denied",
            ),
            (
                "rt: { kind: scheduler, with: { policy: fifo, priority: 1 } }",
                "switchUidGid, rt",
                "rt",
                denied,
            ),
            ("io: { kind: io-priority, with: { class: realtime } }", "switchUidGid, io", "io", denied),
            (
                "low: { kind: limits, with: { nofile: 99 } }\n  up: { kind: limits, needs: [low], with: { nofile: 100 } }",
                "switchUidGid, low, up",
                "up",
                denied,
            ),
            (
                "bits: { kind: securebits, with: { bits: keep-caps-locked } }\n  \
                 switchUidGid: { with: { capabilities: cap_net_raw } }",
                "bits, switchUidGid",
                "switchUidGid",
                denied,
            ),
            (
                "cut: { kind: bounding-set }\n  switchUidGid: { with: { capabilities: cap_net_raw } }",
                "cut, switchUidGid",
                "switchUidGid",
                denied,
            ),
        ] {
            let spec =
                format!("rsd: 1\nname: demo\nextends: twistd\nphases:\n  {phases}\norder: [{order}]\n");
            world.file("spec.yaml", &spec, 0o644);
            let line =
                ["--spec", "spec.yaml", "--uid", "svc", "--logfile=", "--pidfile=", "--", "sleep", "1043"];
            let checked = world.rsd(&[&["check", "--json"], &line[..]].concat());
            assert_eq!(checked.code, 6, "{phases}: {checked:?}");
            let ran = world.rsd(&[&["run", "--unchecked"], &line[..]].concat());
            assert_eq!(ran.code, 1, "{phases}: {ran:?}");
            assert!(
                ran.err.contains(&format!("{phase} failed")) && ran.err.contains(message),
                "{phases}: {ran:?}"
            );
            assert!(kernel::running("sleep 1043").is_empty(), "{phases}");
        }
    });
}

/// A limit of open files that is refused is too small for the start itself, in every case.
#[test]
fn too_few_open_files() {
    test("settings::too_few_open_files", Needs::Root, |world| {
        let log = format!("--logfile={}", world.text("log/demo.log"));
        let foreground = ["--nodaemon", "--pidfile=", "--logfile=", "--ready=exec"];
        let plain = ["--pidfile=", "--logfile="];
        let more = [&log, "--listen=tcp:127.0.0.1:8001", "--listen=tcp:127.0.0.1:8002", "--ready=fd:9"];
        for (options, least) in [(&foreground[..], 9), (&plain, 9), (&more, 17)] {
            let limited = |n: u64| {
                let line = ["--spec", "daemon", &format!("--limit-nofile={n}")].map(str::to_owned);
                let options = options.iter().map(|o| (*o).to_owned());
                let line: Vec<String> = line
                    .into_iter()
                    .chain(options)
                    .chain(["--", "sleep", "1044"].map(str::to_owned))
                    .collect();
                line
            };
            let rsd = |command: &[&str], n: u64| {
                let line = limited(n);
                let line: Vec<&str> =
                    command.iter().copied().chain(line.iter().map(String::as_str)).collect();
                world.rsd(&line)
            };
            for n in 3..least {
                let checked = rsd(&["check"], n);
                assert_eq!(checked.code, 6, "{n} {options:?}: {checked:?}");
                let ran = rsd(&["run", "--unchecked"], n);
                let said = format!("the limit of open files is {n}, for the start as for the program");
                assert!(ran.code == 1 && ran.err.contains(&said), "{n} {options:?}: {ran:?}");
                assert!(ran.err.contains("nothing is left behind"), "{n} {options:?}: {ran:?}");
            }
            let checked = rsd(&["check"], least);
            assert_eq!(checked.code, 0, "{least} {options:?}: {checked:?}");
        }
        assert!(kernel::running("sleep 1044").is_empty());
        // What is advised is enough.
        let line = ["--spec", "daemon", "--limit-nofile=64", &log, "--", "sleep", "1044"];
        world.fine(&[&["run"], &line[..]].concat());
        world.fine(&["stop", "--spec", "daemon"]);
    });
}

/// no-setuid-fixup would let every capability survive the drop: it is given up all the same.
#[test]
fn a_drop_without_the_fixup_is_a_drop() {
    test("settings::a_drop_without_the_fixup_is_a_drop", Needs::Root, |world| {
        let phases =
            "  bits: { kind: securebits, with: { bits: [no-setuid-fixup, no-setuid-fixup-locked] } }\n";
        let (program, keeper) = started(world, 1044, phases, "bits, switchUidGid");
        for pid in [program, keeper] {
            process(pid).has_no_capability();
        }
        world.fine(&["stop", "--spec", "spec.yaml"]);
    });
}

/// What the kernel tells of nobody but the process itself: the program asks.
#[test]
fn what_a_program_can_ask_the_kernel_of_itself() {
    test("settings::what_a_program_can_ask_the_kernel_of_itself", Needs::Root, |world| {
        let phases = "  bits: { kind: securebits, with: { bits: [noroot, noroot-locked, no-cap-ambient-raise] } }\n  \
                      slack: { kind: timer-slack, with: { value: 7ms } }\n  \
                      cpus: { kind: cpu-affinity, with: { cpus: [0, '4-9'] } }\n";
        let probe = "import ctypes, os\n\
                     c = ctypes.CDLL(None)\n\
                     print(c.prctl(27, 0, 0, 0, 0), c.prctl(30, 0, 0, 0, 0), 0 in os.sched_getaffinity(0), flush=True)\n";
        world.file("probe.py", probe, 0o644);
        let spec = format!(
            "rsd: 1\nname: demo\nextends: twistd\nphases:\n{phases}order: [bits, slack, cpus, switchUidGid]\n"
        );
        world.file("spec.yaml", &spec, 0o644);
        world.fine(&["run", "--spec", "spec.yaml", "--uid", "svc", "--", "/usr/bin/python3", "probe.py"]);
        let told = eventually("the probe spoke", || {
            fs::read_to_string(world.path("twistd.log")).ok().filter(|t| t.ends_with('\n'))
        });
        // noroot 1, its lock 2, no-cap-ambient-raise 64; PR_GET_TIMERSLACK in nanoseconds.
        assert_eq!(told, format!("{} 7000000 True\n", 1 | 2 | 64));
    });
}

#[test]
fn processors_of_a_running_program() {
    test("settings::processors_of_a_running_program", Needs::Root, |world| {
        let own = process(std::process::id() as i32).field("Cpus_allowed_list").to_owned();
        let first: u32 = own.split([',', '-']).next().and_then(|n| n.parse().ok()).expect("a processor");
        let phases = format!("  cpus: {{ kind: cpu-affinity, with: {{ cpus: [{first}] }} }}\n");
        let (program, keeper) = started(world, 1045, &phases, "cpus, switchUidGid");
        for pid in [program, keeper] {
            assert_eq!(process(pid).field("Cpus_allowed_list"), first.to_string());
        }
        world.fine(&["stop", "--spec", "spec.yaml"]);
        // None of them is there: it is said before, and it fails.
        let spec = phases.replace(&format!("[{first}]"), "['1000-1020']");
        world.file("spec.yaml", &format!("rsd: 1\nname: demo\nextends: twistd\nphases:\n{spec}"), 0o644);
        let line = ["--spec", "spec.yaml", "--", "sleep", "1046"];
        let checked = world.rsd(&[&["check"], &line[..]].concat());
        assert!(checked.code == 6 && checked.err.contains("EINVAL"), "{checked:?}");
        let ran = world.rsd(&[&["run", "--unchecked"], &line[..]].concat());
        assert!(ran.code == 1 && ran.err.contains("cpus failed"), "{ran:?}");
    });
}

/// Of a process that is not dumpable the files below /proc are root's, and its own user may not look into it.
#[test]
fn a_keeper_that_is_not_dumpable() {
    test("settings::a_keeper_that_is_not_dumpable", Needs::Root, |world| {
        use std::os::unix::fs::MetadataExt;
        for (phases, owner, code) in [
            ("  open: { kind: dumpable, needs: [switchUidGid], with: { value: true } }\n", SVC, 0),
            ("  open: { kind: dumpable, needs: [switchUidGid], with: { value: false } }\n", 0, 1),
        ] {
            let (_, keeper) = started(world, 1047, phases, "switchUidGid, open, startApplication");
            let status = fs::metadata(format!("/proc/{keeper}/status")).expect("its status");
            assert_eq!(status.uid(), owner, "{phases}");
            let mut look = world.command("setpriv");
            look.args(["--reuid", "svc", "--regid", "svc", "--clear-groups"]);
            let seen = done(look.args(["readlink", &format!("/proc/{keeper}/cwd")]));
            assert_eq!(seen.code, code, "{phases}: {seen:?}");
            world.fine(&["stop", "--spec", "spec.yaml"]);
        }
    });
}

/// Sets of capabilities as they are given behind a drop that kept more, looked at in the program.
#[test]
fn capabilities_that_are_given_up_behind_the_drop() {
    test("settings::capabilities_that_are_given_up_behind_the_drop", Needs::Root, |world| {
        let phases = "  switchUidGid: { with: { capabilities: [cap_net_bind_service, cap_net_raw, cap_kill] } }\n  \
                      less: { kind: capabilities, with: { permitted: [cap_net_bind_service, cap_net_raw], \
                      inheritable: [cap_net_bind_service], ambient: [cap_net_bind_service] } }\n";
        let (program, keeper) = started(world, 1048, phases, "switchUidGid, less, startApplication");
        let both = PORT | 1 << 13;
        for (pid, permitted) in [(keeper, both), (program, PORT)] {
            for (name, wanted) in
                [("CapPrm", permitted), ("CapEff", permitted), ("CapInh", PORT), ("CapAmb", PORT)]
            {
                assert_eq!(set(pid, name), wanted, "{name} of {pid}");
            }
        }
        world.fine(&["stop", "--spec", "spec.yaml"]);
    });
}

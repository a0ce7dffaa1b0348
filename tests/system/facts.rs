//! What is known of a machine: carried elsewhere, and held against what really happens on it.

use crate::sandbox::{Needs, OTHER, Out, SVC, World, binary, done, sh, test};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

/// A copy of the command where everybody may execute it.
fn public(world: &World) -> String {
    let place = world.path("rsd");
    if !place.exists() {
        fs::copy(binary(), &place).expect("a copy");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    place.to_str().expect("text").to_owned()
}

/// The same words behind another command: `setpriv …`, `unshare …`.
fn through(world: &World, starter: &[&str], arguments: &[&str]) -> Out {
    let program = public(world);
    let mut words: Vec<&str> = starter.to_vec();
    words.push(&program);
    words.extend(arguments);
    done(world.command(words[0]).args(&words[1..]))
}

/// What a check found, without the line on where the facts are from.
fn findings(out: &Out) -> (i32, String, String) {
    let err = out.err.lines().filter(|l| !l.starts_with("snapshot: ")).map(|l| format!("{l}\n")).collect();
    (out.code, out.out.clone(), err)
}

#[test]
fn a_check_is_made_again_elsewhere() {
    test("facts::a_check_is_made_again_elsewhere", Needs::Root, |world| {
        world.directory("strange", 31_337, 0o2770);
        world.directory("jail", 0, 0o755);
        world.directory("jail/run", SVC, 0o700);
        world.directory("readonly", 0, 0o755);
        sh("mount", &["-t", "tmpfs", "-o", "ro", "none", &world.text("readonly")]);
        symlink(world.path("strange"), world.path("way")).expect("a link");
        let odd = world.dir.join(OsString::from_vec(b"odd \xff\n\\x41".to_vec()));
        fs::create_dir(&odd).expect("a directory");
        symlink(&odd, world.path("odd")).expect("a link");
        let taken = TcpListener::bind("0.0.0.0:0").expect("bind");
        let port = format!("tcp:127.0.0.1:{}", taken.local_addr().expect("its address").port());
        let lines: [&[&str]; 6] = [
            &["--uid", "svc", "--pidfile", "way/x.pid", "--logfile", "odd/x.log", "--listen", &port],
            &["--uid", "svc", "--pidfile", "readonly/x.pid", "--", "sleep", "1"],
            &["--uid", "31337", "--gid", "nogroup", "--logfile", "strange/x.log", "--listen", "tcp:80"],
            &["--spec", "twistd-safe", "--uid", "svc", "--chroot", "jail", "--pidfile", "/run/x.pid"],
            &["--uid", "no-such-user"],
            &["--listen", "unix:odd/live", "--rundir", "odd", "--", "no-such-program"],
        ];
        let mut taken_here = Vec::new();
        for (n, line) in lines.iter().enumerate() {
            let file = world.text(&format!("{n}.json"));
            for form in [&[][..], &["--json"]] {
                let plain = world.rsd(&[&["check"], form, *line].concat());
                let once = [&["check", "--snapshot", &file], form, *line].concat();
                let first = world.rsd(&once);
                assert!(first.err.starts_with("snapshot: "), "{first:#?}");
                // What points into the command line points elsewhere where that is longer.
                if n != 4 {
                    assert_eq!(findings(&first), findings(&plain), "{line:?}");
                }
                taken_here.push((n, form, first));
            }
            let plan = world.rsd(&[&["plan", "--snapshot", &file, "--json"], *line].concat());
            assert_eq!(plan.out, world.rsd(&[&["plan", "--json"], *line].concat()).out);
            let meta = fs::metadata(&file).expect("the file");
            assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o600, 0));
            chown(&file, Some(OTHER), Some(OTHER)).expect("another's");
        }
        // Another machine: other users, other files, nothing bound, another user somewhere else.
        let program = public(world);
        drop(taken);
        sh("umount", &[&world.text("readonly")]);
        for gone in ["strange", "jail", "readonly"] {
            fs::remove_dir_all(world.path(gone)).expect("gone");
        }
        fs::remove_dir(&odd).expect("gone");
        for gone in ["way", "odd"] {
            fs::remove_file(world.path(gone)).expect("gone");
        }
        sh("umount", &["/etc/passwd"]);
        sh("umount", &["/etc/group"]);
        let user = OTHER.to_string();
        for (n, form, first) in taken_here {
            let file = world.text(&format!("{n}.json"));
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups", &program, "check"]);
            command.args(["--snapshot", &file]).args(form).args(lines[n]);
            command.env_clear().env("PATH", "/nowhere").current_dir("/");
            let again = done(&mut command);
            assert!(again.err.contains("nothing of this machine is looked at"), "{again:#?}");
            assert_eq!(findings(&again), findings(&first), "{:?}", lines[n]);
        }
    });
}

#[test]
fn names_that_are_no_place_for_facts() {
    test("facts::names_that_are_no_place_for_facts", Needs::Root, |world| {
        let plain = ["--pidfile=", "--logfile="];
        let refused = |file: &str, words: &str| {
            let before = world.listing();
            for command in ["check", "plan"] {
                let out = world.rsd(&[&[command, "--snapshot", file], &plain[..]].concat());
                assert_eq!(out.code, 6, "{file}: {out:#?}");
                assert!(out.err.contains("RSD0115") && out.err.contains(words), "{file}: {out:#?}");
            }
            assert_eq!(before, world.listing(), "{file}");
        };
        nix::unistd::mkfifo(&world.path("fifo"), nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
        let _live = UnixListener::bind(world.path("socket")).expect("bind");
        symlink("nowhere", world.path("dangling")).expect("a link");
        symlink("round", world.path("round")).expect("a link");
        world.directory("theirs", OTHER, 0o755);
        symlink("theirs", world.path("way")).expect("a link");
        refused("fifo", "it is no regular file");
        refused("socket", "it is no regular file");
        refused(".", "it is a directory");
        refused("/dev/zero", "it is no regular file");
        refused("dangling", "it is a symbolic link");
        refused("round", "Too many levels of symbolic links");
        refused("way/machine.json", "a symbolic link is on the way");
        refused("none/machine.json", "No such file or directory");
        refused(&"x".repeat(300), "File name too long");
        let large = fs::File::create(world.path("large")).expect("a file");
        large.set_len(100_000_000).expect("its size");
        refused("large", "100000000 bytes");
        fs::remove_file(world.path("large")).expect("gone");
        // Whoever may not read it.
        let out = world.fine(&["check", "--snapshot", "m.json", "--pidfile=", "--logfile="]);
        assert!(out.err.contains("is written to m.json"), "{out:#?}");
        let user = OTHER.to_string();
        let other = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"];
        let out = through(world, &other, &["check", "--snapshot", "m.json"]);
        assert!(out.code == 6 && out.err.contains("Permission denied"), "{out:#?}");
        // An ordinary user writes where it may, through its own links too.
        let out = through(world, &other, &["check", "--snapshot", "way/m.json", "--pidfile=", "--logfile="]);
        assert_eq!(out.code, 0, "{out:#?}");
        assert_eq!(fs::metadata(world.path("theirs/m.json")).expect("written").mode() & 0o7777, 0o600);
        let out = world.rsd(&["run", "--snapshot", "m.json"]);
        assert!(out.code == 6 && out.err.contains("takes no facts"), "{out:#?}");
    });
}

/// A start that lacks something: what the check says, and what the run then meets.
struct Lack {
    starter: &'static [&'static str],
    arguments: &'static [&'static str],
    /// in the check's findings
    said: &'static [&'static str],
    /// in what the run says
    met: &'static str,
}

/// A user namespace with uid 0 alone, and with the groups below 5000.
const ONE_USER: &str = r#"
unshare --user sh -c 'until grep -q . /proc/self/uid_map && grep -q . /proc/self/gid_map; do sleep 0.02; done
exec "$0" "$@"' "$@" &
until [ "$(readlink /proc/$!/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.02; done
echo 0 0 5000 >/proc/$!/gid_map; echo 0 0 1 >/proc/$!/uid_map; wait $!"#;

#[test]
fn what_a_start_lacks_is_told_before() {
    test("facts::what_a_start_lacks_is_told_before", Needs::Root, |world| {
        world.directory("jail", 0, 0o755);
        world.directory("hers", OTHER, 0o700);
        world.directory("shared", 0, 0o1777);
        symlink("/mnt/work/jail", world.path("shared/link")).expect("a link");
        std::os::unix::fs::lchown(world.path("shared/link"), Some(OTHER), Some(OTHER)).expect("hers");
        fs::write("/proc/sys/fs/protected_symlinks", "1").expect("the setting");
        const PLAIN: [&str; 2] = ["--logfile=", "--pidfile="];
        let lacks = [
            Lack {
                starter: &["setpriv", "--bounding-set", "-sys_chroot"],
                arguments: &["--chroot", "/mnt/work/jail"],
                said: &["RSD0302", "cap_sys_chroot"],
                met: "chroot failed: chroot /mnt/work/jail: Operation not permitted",
            },
            Lack {
                starter: &["setpriv", "--bounding-set", "-setuid"],
                arguments: &["--uid", "svc"],
                said: &["RSD0302", "cap_setuid"],
                met: "switchUidGid failed: setresuid 4000: Operation not permitted",
            },
            Lack {
                starter: &["setpriv", "--bounding-set", "-setgid"],
                arguments: &["--uid", "svc"],
                said: &["RSD0302", "cap_setgid"],
                met: "switchUidGid failed: setgroups",
            },
            Lack {
                starter: &["setpriv", "--bounding-set", "-net_bind_service"],
                arguments: &["--listen", "tcp:127.0.0.1:81"],
                said: &["RSD0601", "cap_net_bind_service"],
                met: "bind tcp:127.0.0.1:81: Permission denied",
            },
            Lack {
                starter: &["setpriv", "--bounding-set", "-dac_override,-dac_read_search"],
                arguments: &["--rundir", "/mnt/work/hers"],
                said: &["RSD0403", "/mnt/work/hers is 4100:4100 0700"],
                met: "chdir failed: chdir /mnt/work/hers: Permission denied",
            },
            Lack {
                starter: &["unshare", "--user", "--map-root-user"],
                arguments: &["--uid", "svc"],
                said: &["setgroups(2) is forbidden in this user namespace"],
                met: "switchUidGid failed: setgroups",
            },
            Lack {
                starter: &["sh", "-c", ONE_USER, "sh"],
                arguments: &["--uid", "svc"],
                said: &["EINVAL", "uid 4000 does not exist in this user namespace"],
                met: "switchUidGid failed: setresuid 4000: Invalid argument",
            },
            Lack {
                starter: &["sh", "-c", ONE_USER, "sh"],
                arguments: &["--uid", "0", "--gid", "5000"],
                said: &["EINVAL", "gid 5000 does not exist in this user namespace"],
                met: "switchUidGid failed: setgroups [5000]: Invalid argument",
            },
            Lack {
                starter: &["unshare", "--user", "--map-root-user"],
                arguments: &["--listen", "tcp:127.0.0.1:82"],
                said: &["EACCES", "the network belongs to another user namespace"],
                met: "bind tcp:127.0.0.1:82: Permission denied",
            },
            Lack {
                starter: &["unshare", "--user", "--map-root-user"],
                arguments: &["--rundir", "/mnt/work/hers"],
                said: &["RSD0403", "/mnt/work/hers is 65534:65534 0700"],
                met: "chdir failed: chdir /mnt/work/hers: Permission denied",
            },
            Lack {
                starter: &[],
                arguments: &["--rundir", "/mnt/work/shared/link"],
                said: &["EACCES", "fs.protected_symlinks forbids uid 0 to follow it"],
                met: "chdir failed: chdir /mnt/work/shared/link: Permission denied",
            },
            Lack {
                starter: &[],
                arguments: &["--listen", "unix:/mnt/work/jail"],
                said: &["RSD0604", "a directory"],
                met: "bind unix:/mnt/work/jail: Address already in use",
            },
        ];
        for Lack { starter, arguments, said, met } in lacks {
            let line = [&PLAIN[..], arguments].concat();
            let checked = through(world, starter, &[&["check"], &line[..]].concat());
            assert_eq!(checked.code, 6, "{starter:?} {line:?}: {checked:#?}");
            for word in said {
                assert!(
                    checked.err.contains(word),
                    "{starter:?} {line:?}: {word:?} is not in {}",
                    checked.err
                );
            }
            let run = ["run", "--journal", "/dev/null", "--unchecked"];
            let ran = through(world, starter, &[&run, &line[..]].concat());
            assert_eq!(ran.code, 1, "{starter:?} {line:?}: {ran:#?}");
            assert!(ran.err.contains(met), "{starter:?} {line:?}: {met:?} is not in {}", ran.err);
        }
    });
}

#[test]
fn addresses_are_judged_as_the_kernel_gives_them() {
    test("facts::addresses_are_judged_as_the_kernel_gives_them", Needs::Root, |world| {
        // Who has what, and what is asked for: the run decides, and the check must have known.
        let six_only = |port: u16| {
            use nix::sys::socket::*;
            let flags = SockFlag::SOCK_CLOEXEC;
            let fd = socket(AddressFamily::Inet6, SockType::Stream, flags, None).expect("a socket");
            setsockopt(&fd, sockopt::Ipv6V6Only, &true).expect("IPV6_V6ONLY");
            let address = format!("[::]:{port}").parse::<std::net::SocketAddrV6>().expect("an address");
            bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &SockaddrIn6::from(address)).expect("bind");
            listen(&fd, Backlog::new(1).expect("one")).expect("listen");
            fd
        };
        let _v6only = six_only(7001);
        let _dual = TcpListener::bind("[::]:7002").expect("bind");
        let _any = TcpListener::bind("0.0.0.0:7003").expect("bind");
        let _one = TcpListener::bind("127.0.0.1:7004").expect("bind");
        let _udp = UdpSocket::bind("127.0.0.1:7005").expect("bind");
        let _six = TcpListener::bind("[::1]:7006").expect("bind");
        // What is left of a connection keeps nobody from listening.
        let before = TcpListener::bind("127.0.0.1:7007").expect("bind");
        let client = std::net::TcpStream::connect("127.0.0.1:7007").expect("connect");
        drop(before.accept().expect("accept"));
        drop((client, before));
        let mut seen = (0, 0);
        for port in 7001..=7007 {
            for asked in [
                "tcp:127.0.0.1",
                "tcp:127.0.0.2",
                "tcp:0.0.0.0",
                "tcp:[::]",
                "tcp:[::1]",
                "udp:127.0.0.1",
                "udp:[::]",
            ] {
                let asked = format!("{asked}:{port}");
                let line = ["--pidfile=", "--logfile=", "--nodaemon", "--listen", &asked, "--", "true"];
                let checked = world.rsd(&[&["check"], &line[..]].concat());
                let run = ["run", "--journal", "/dev/null", "--unchecked"];
                let ran = world.rsd(&[&run, &line[..]].concat());
                let (said, met) =
                    (checked.err.contains("RSD0604"), ran.err.contains("Address already in use"));
                assert_eq!(said, met, "{asked}: {checked:#?} {ran:#?}");
                assert_eq!(checked.code == 6, said, "{asked}: {checked:#?}");
                if met { seen.0 += 1 } else { seen.1 += 1 }
            }
        }
        assert!(seen.0 > 10 && seen.1 > 10, "{seen:?}");
    });
}

#[test]
fn mounts_are_judged_as_the_kernel_has_them() {
    test("facts::mounts_are_judged_as_the_kernel_has_them", Needs::Root, |world| {
        world.directory("a", 0, 0o755);
        for dir in ["a/ro", "a/bound", "a/hidden", "a/plain", "a/users"] {
            world.directory(dir, 0, 0o755);
        }
        let at = |name: &str| world.text(name);
        sh("mount", &["-t", "tmpfs", "-o", "ro,mode=0755", "none", &at("a/ro")]);
        // A directory on it that can be written, and a read-only one that another mount hides.
        sh("mount", &["-o", "remount,rw", &at("a/ro")]);
        world.directory("a/ro/rw", 0, 0o755);
        sh("mount", &["-o", "remount,ro", &at("a/ro")]);
        sh("mount", &["-t", "tmpfs", "-o", "mode=0755", "none", &at("a/ro/rw")]);
        sh("mount", &["--bind", &at("a/bound"), &at("a/bound")]);
        sh("mount", &["-o", "remount,bind,ro", &at("a/bound")]);
        sh("mount", &["-t", "tmpfs", "-o", "ro,mode=0755", "none", &at("a/hidden")]);
        sh("mount", &["-t", "tmpfs", "-o", "mode=0755", "none", &at("a/hidden")]);
        symlink("ro", world.path("a/to-ro")).expect("a link");
        symlink("../a/ro/rw", world.path("a/to-rw")).expect("a link");
        let mut seen = (0, 0);
        for dir in
            ["a/ro", "a/ro/rw", "a/bound", "a/hidden", "a/plain", "a/to-ro", "a/to-rw", "a/ro/../plain"]
        {
            for option in ["--logfile", "--pidfile"] {
                let other = if option == "--logfile" { "--pidfile=" } else { "--logfile=" };
                let file = format!("{}/x", at(dir));
                let line = [option, &file, other, "--nodaemon", "--", "true"];
                let checked = world.rsd(&[&["check"], &line[..]].concat());
                let run = ["run", "--journal", "/dev/null", "--unchecked"];
                let ran = world.rsd(&[&run, &line[..]].concat());
                let (said, met) =
                    (checked.err.contains("RSD0412"), ran.err.contains("Read-only file system"));
                assert_eq!((said, checked.code == 6), (met, met), "{file}: {checked:#?} {ran:#?}");
                if met { seen.0 += 1 } else { seen.1 += 1 }
            }
        }
        assert_eq!(seen, (6, 10));
    });
}

#[test]
fn odd_input_is_refused_in_words() {
    test("facts::odd_input_is_refused_in_words", Needs::Root, |world| {
        symlink("round", world.path("round")).expect("a link");
        world.directory("new\nline", 0, 0o755);
        let deep = "d/".repeat(2_030) + "x";
        let cases: [(&[&str], i32, &str); 8] = [
            (&["--rundir", "round"], 6, "leads in a circle"),
            (&["--rundir", "round/below"], 6, "ELOOP"),
            (&["--rundir", "new\nline"], 0, "in order, 6 skipped: 1 note"),
            (&["--rundir", &deep], 6, "does not exist"),
            (&["--logfile", "new\nline/x.log"], 0, "RSD0404"),
            (&["--uid", "wrong"], 6, "that is no id"),
            (&["--uid", "4294967295"], 6, "there is no user"),
            (&["--gid", "4294967295"], 6, "there is no group"),
        ];
        let people = world.path("people");
        fs::write(&people, "root:x:0:0::/:/bin/sh\nwrong:x:4294967295:0::/:/bin/sh\n").expect("users");
        sh("mount", &["--bind", people.to_str().expect("text"), "/etc/passwd"]);
        for (options, code, words) in cases {
            let line = [&["check", "--pidfile=", "--logfile="], options].concat();
            let out = world.rsd(&line);
            assert_eq!(out.code, code, "{options:?}: {out:#?}");
            assert!(format!("{}{}", out.out, out.err).contains(words), "{options:?}: {out:#?}");
            assert!(!out.err.contains("panicked"), "{out:#?}");
        }
        // Nobody at all: users are numbers.
        fs::write(&people, "").expect("no users");
        assert_eq!(world.rsd(&["check", "--pidfile=", "--logfile="]).code, 0);
        let out = world.rsd(&["check", "--uid", "svc"]);
        assert!(out.code == 6 && out.err.contains("there is no user `svc`"), "{out:#?}");
        assert_eq!(world.rsd(&["check", "--uid", "33", "--gid", "33", "--pidfile=", "--logfile="]).code, 0);
        sh("umount", &["/etc/passwd"]);
        // Words that are no text.
        let bad = OsString::from_vec(b"/tmp/\xff\xfe".to_vec());
        for words in [[OsStr::new("--pidfile"), &bad], [OsStr::new("--snapshot"), &bad]] {
            let out = done(world.command(binary()).arg("check").args(words));
            assert_eq!(out.code, 2, "{out:#?}");
            assert!(out.err.contains("is not UTF-8 text"), "{out:#?}");
        }
        // A directory that is no text, and one that is gone.
        let odd = world.dir.join(OsString::from_vec(b"odd\xff".to_vec()));
        fs::create_dir(&odd).expect("a directory");
        for arguments in
            [&["check"][..], &["check", "--json"], &["plan"], &["plan", "--json"], &["plan", "--dot"]]
        {
            let out = done(world.command(binary()).args(arguments).args(["--rundir", "."]).current_dir(&odd));
            assert_eq!(out.code, 0, "{arguments:?}: {out:#?}");
            assert!(!out.out.is_empty() && !out.err.contains("error"), "{arguments:?}: {out:#?}");
        }
        let program = public(world);
        for name in ["x.pid", "/run/x.pid"] {
            let script = format!("mkdir gone; cd gone; rmdir ../gone; {program} check --pidfile {name}");
            let out = done(world.command("sh").args(["-c", &script]));
            assert_eq!(out.code, 1, "{out:#?}");
            assert!(out.err.contains("the working directory cannot be told"), "{out:#?}");
            assert!(out.err.contains("do: change to a directory that exists"), "{out:#?}");
        }
    });
}

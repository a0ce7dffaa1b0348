//! Building the little world: a file system of its own for one list.

use super::case::{Case, Entry, What};
use super::kernel;
use nix::errno::Errno;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

/// Machine code that sleeps until a signal ends it, and then sleeps again.
#[cfg(target_arch = "x86_64")]
const SLEEP: &[u8] = &[0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7]; // mov eax, 34 (pause); syscall; jmp back
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
/// ppoll(NULL, 0, NULL, NULL, 0), again and again.
#[cfg(target_arch = "aarch64")]
const SLEEP: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00, 0x80, 0xd2, 0x04,
    0x00, 0x80, 0xd2, 0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xf9, 0xff, 0xff, 0x17,
];
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the program of the little world has no machine code for this architecture");

/// An ELF file that sleeps, wherever it is mapped; with a loader, it is the loader that does.
pub fn program(loader: Option<&Path>) -> Vec<u8> {
    let name = loader.map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).unwrap_or_default();
    let headers: u64 = 64 + 56 * if loader.is_some() { 2 } else { 1 };
    let code = headers + name.len() as u64;
    let size = code + SLEEP.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend(3u16.to_le_bytes());
    elf.extend(MACHINE.to_le_bytes());
    elf.extend(1u32.to_le_bytes());
    elf.extend(code.to_le_bytes());
    elf.extend(64u64.to_le_bytes());
    elf.extend(0u64.to_le_bytes());
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, if loader.is_some() { 2 } else { 1 }, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    let mut segment = |kind: u32, flags: u32, words: [u64; 6]| {
        elf.extend(kind.to_le_bytes());
        elf.extend(flags.to_le_bytes());
        words.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    };
    if loader.is_some() {
        let length = name.len() as u64;
        segment(3, 4, [headers, headers, headers, length, length, 1]);
    }
    // All of the file, to be read and executed.
    segment(1, 5, [0, 0, 0, size, size, 0x1000]);
    elf.extend(name);
    elf.extend(SLEEP);
    elf
}

fn errno(error: Errno) -> io::Error {
    io::Error::from_raw_os_error(error as i32)
}

/// Makes it, and makes it this process's root. For the first process of new namespaces.
pub fn build(case: &Case) -> io::Result<()> {
    let here = Path::new("/mnt");
    kernel::mount("none", Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, "").map_err(errno)?;
    kernel::mount("world", here, Some("tmpfs"), 0, "mode=0755").map_err(errno)?;
    kernel::enter_root(here).map_err(errno)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    for directory in ["/proc", "/dev", "/etc"] {
        fs::create_dir(directory)?;
        fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    }
    kernel::mount("proc", Path::new("/proc"), Some("proc"), 0, "").map_err(errno)?;
    let null = nix::sys::stat::makedev(1, 3);
    let any = nix::sys::stat::Mode::from_bits_truncate(0o666);
    nix::sys::stat::mknod("/dev/null", nix::sys::stat::SFlag::S_IFCHR, any, null).map_err(errno)?;
    fs::write("/etc/passwd", "root:x:0:0::/:/\nsvc:x:1000:1000::/:/\nother:x:1001:1001::/:/\n")?;
    fs::write("/etc/group", "root:x:0:\nsvc:x:1000:\nother:x:1001:\nshared:x:2000:svc,other\n")?;
    for name in ["/etc/passwd", "/etc/group"] {
        fs::set_permissions(name, Permissions::from_mode(0o644))?;
    }
    for entry in &case.world {
        make(entry).map_err(|e| io::Error::other(format!("{}: {e}", entry.path.display())))?;
    }
    Ok(())
}

fn make(entry: &Entry) -> io::Result<()> {
    let path = &entry.path;
    match &entry.what {
        // The root is there, and is given its owner and mode.
        What::Directory if path == Path::new("/") => {}
        What::Directory => fs::create_dir(path)?,
        What::File(size) => fs::write(path, vec![b'7'; *size])?,
        What::HardLink(first) => return fs::hard_link(first, path),
        What::Symlink(target) => {
            symlink(target, path)?;
            return lchown(path, Some(entry.uid), Some(entry.gid));
        }
        What::Fifo => {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::empty()).map_err(errno)?;
        }
        What::StaleSocket => {
            use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
            use std::os::fd::AsRawFd;
            // Never one that listens: another worker looks at its own list at this moment.
            let stream = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
            let bound = stream.and_then(|fd| bind(fd.as_raw_fd(), &UnixAddr::new(path)?));
            bound.map_err(errno)?;
        }
        What::Program => fs::write(path, program(None))?,
        What::Dynamic(loader) => fs::write(path, program(Some(loader)))?,
        What::Script(interpreter) => fs::write(path, format!("#!{}\n{:64}", interpreter.display(), ""))?,
    }
    // The mode last: giving a file away takes its set-id bits.
    chown(path, Some(entry.uid), Some(entry.gid))?;
    fs::set_permissions(path, Permissions::from_mode(entry.mode))
}

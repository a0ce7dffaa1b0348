//! `rsd logs`: the end of the log, and what is written to it from now on.

use crate::instance;
use crate::prepare::planned;
use crate::{exit, output};
use engine::text::clean;
use phases::sys::walk;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// No more than this of the end is looked at for the last lines.
const END: u64 = 4 << 20;
/// How long it takes at the most until what was written, or a new file under the name, is seen.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs the subcommand.
pub fn command(argv: &[String]) -> i32 {
    let prepared = match planned(argv) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    let name = clean(&prepared.name).into_owned();
    let Some(lines) = prepared.matches.get_one::<String>("lines").and_then(|n| n.parse().ok()) else {
        output::complain("error: --lines: a whole number is wanted\n");
        return exit::USAGE;
    };
    if let Some(why) = instance::nowhere(&prepared, instance::of_log) {
        output::complain(&format!("{name}: {}\n", clean(&why)));
        return exit::UNKNOWN;
    }
    let Some(path) = instance::log(&prepared) else {
        output::complain(&format!("{name}: this plan opens no log\n"));
        return exit::USAGE;
    };
    match show(&path, lines, prepared.matches.get_flag("follow")) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::FINE,
        Err(error) => {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let hint = if missing { instance::hint(&prepared) } else { String::new() };
            output::complain(&format!("{name}: {}: {error}\n{hint}", clean(&path.display().to_string())));
            exit::FAILED
        }
        Ok(()) => exit::FINE,
    }
}

fn show(path: &Path, lines: usize, follow: bool) -> std::io::Result<()> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    // What is written meanwhile comes later, and a line has an end, too.
    let mut reader = BufReader::new((&mut file).take(END));
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        last.push_back(line);
        if last.len() > lines {
            last.pop_front();
        }
    }
    let mut out = Out::new();
    for line in last {
        out.write(&line)?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        let mut piece = [0; 64 * 1024];
        match file.read(&mut piece)? {
            0 => {}
            n => {
                out.write(piece.get(..n).unwrap_or_default())?;
                continue;
            }
        }
        std::thread::sleep(PAUSE);
        let here = file.metadata()?;
        let place = file.stream_position()?;
        match std::fs::symlink_metadata(path) {
            // Rotated. What was still written to the old one was read above, but for the last moment.
            Ok(named) if (named.dev(), named.ino()) != (here.dev(), here.ino()) => {
                let mut left = here.len().saturating_sub(place);
                while left > 0 {
                    let most = left.min(piece.len() as u64) as usize;
                    let n = file.read(piece.get_mut(..most).unwrap_or_default())?;
                    if n == 0 {
                        break;
                    }
                    out.write(piece.get(..n).unwrap_or_default())?;
                    left -= n as u64;
                }
                file = open(path)?;
            }
            Ok(_) if here.len() < place => {
                file.rewind()?;
            }
            _ => {}
        }
    }
}

/// What is in it is shown to root: a link that the daemon's user has made does not choose what that is.
fn open(path: &Path) -> std::io::Result<File> {
    let file = File::from(walk::file(path).map_err(|refused| match refused {
        walk::Refused::Errno(errno) => std::io::Error::from(errno),
        refused => {
            let error = refused.about("it is not opened");
            std::io::Error::other(match &error.why {
                Some(why) => format!("{error}: {why}"),
                None => error.to_string(),
            })
        }
    })?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("it is no regular file")),
    }
}

/// Standard output: a terminal gets no control characters of the program's.
struct Out {
    terminal: bool,
}

impl Out {
    fn new() -> Out {
        Out { terminal: std::io::stdout().is_terminal() }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.terminal {
            let text = String::from_utf8_lossy(bytes);
            let lines: Vec<_> = text.split('\n').map(clean).collect();
            out.write_all(lines.join("\n").as_bytes())?;
        } else {
            out.write_all(bytes)?;
        }
        out.flush()
    }
}

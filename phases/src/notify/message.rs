//! A message of sd_notify(3), read. Pure: whatever the bytes are, it is a message.

/// The longest status text that is kept, in characters.
const LONGEST_STATUS: usize = 200;
/// The largest error number of the kernel.
const LARGEST_ERRNO: i32 = 4095;

/// What a message says. What it does not know, and what is written wrongly, is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `READY=1`
    pub ready: bool,
    /// `RELOADING=1`
    pub reloading: bool,
    /// `STOPPING=1`
    pub stopping: bool,
    /// `WATCHDOG=1`: a sign of life
    pub alive: bool,
    /// `WATCHDOG=trigger`: it asks to be taken for one that gives no sign
    pub trigger: bool,
    /// `STATUS=`, shortened; it may hold anything but a newline
    pub status: Option<String>,
    /// `ERRNO=`
    pub errno: Option<i32>,
    /// `MAINPID=`
    pub main_pid: Option<i32>,
    /// `EXTEND_TIMEOUT_USEC=`, microseconds
    pub extend: Option<u64>,
    /// `WATCHDOG_USEC=`, microseconds
    pub watchdog: Option<u64>,
}

/// Reads the bytes of one datagram: lines of `NAME=value`. The last of a name holds.
pub fn parse(bytes: &[u8]) -> Message {
    let mut message = Message::default();
    for line in bytes.split(|b| *b == b'\n') {
        let Some(at) = line.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = (&line[..at], &line[at + 1..]);
        let number = || std::str::from_utf8(value).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        match name {
            b"READY" => message.ready = value == b"1",
            b"RELOADING" => message.reloading = value == b"1",
            b"STOPPING" => message.stopping = value == b"1",
            b"WATCHDOG" => (message.alive, message.trigger) = (value == b"1", value == b"trigger"),
            b"STATUS" => {
                let text = String::from_utf8_lossy(value);
                message.status = Some(match text.char_indices().nth(LONGEST_STATUS) {
                    Some((cut, _)) => format!("{}…", &text[..cut]),
                    None => text.into_owned(),
                });
            }
            b"ERRNO" => {
                let errno = number().and_then(|t| t.parse().ok());
                message.errno = errno.filter(|n| (1..=LARGEST_ERRNO).contains(n));
            }
            b"MAINPID" => message.main_pid = number().and_then(|t| t.parse().ok()).filter(|pid| *pid > 1),
            b"EXTEND_TIMEOUT_USEC" => message.extend = number().and_then(|t| t.parse().ok()),
            b"WATCHDOG_USEC" => message.watchdog = number().and_then(|t| t.parse().ok()).filter(|n| *n > 0),
            _ => {}
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read() {
        let message = parse(
            b"READY=1\nSTATUS=up \xff and running\nMAINPID=4711\nERRNO=2\nEXTEND_TIMEOUT_USEC=5000000\n\
              WATCHDOG=1\nWATCHDOG_USEC=30\nX_OWN=1\nRELOADING=1\nSTOPPING=1",
        );
        assert_eq!(
            message,
            Message {
                ready: true,
                reloading: true,
                stopping: true,
                alive: true,
                trigger: false,
                status: Some("up \u{fffd} and running".to_owned()),
                errno: Some(2),
                main_pid: Some(4711),
                extend: Some(5_000_000),
                watchdog: Some(30),
            }
        );
        assert!(parse(b"WATCHDOG=trigger").trigger);
    }

    #[test]
    fn what_is_wrong_is_passed_over() {
        for bad in [
            "READY=0",
            "READY=11",
            "READY",
            "=",
            "",
            "\n\n",
            "MAINPID=-1",
            "MAINPID=1",
            "MAINPID=+5",
            "MAINPID=99999999999",
            "ERRNO=0",
            "ERRNO=4096",
            "ERRNO=EPERM",
            "WATCHDOG_USEC=0",
            "WATCHDOG=2",
            "EXTEND_TIMEOUT_USEC=18446744073709551616",
            "ready=1",
            " READY=1",
        ] {
            assert_eq!(parse(bad.as_bytes()), Message::default(), "{bad:?}");
        }
        assert!(!parse(b"READY=1\nREADY=0").ready, "the last one holds");
        let long = parse(format!("STATUS={}", "ä".repeat(3000)).as_bytes()).status.expect("a status");
        assert_eq!(long.chars().count(), LONGEST_STATUS + 1);
    }

    /// Pieces of real messages and noise, put together at random: nothing panics, and a message that is
    /// read says no more than its bytes do.
    #[test]
    fn any_bytes_are_a_message() {
        let pieces: [&[u8]; 12] = [
            b"READY=1",
            b"STATUS=",
            b"MAINPID=",
            b"4711",
            b"\n",
            b"=",
            b"\0",
            b"\xff\xfe",
            b"WATCHDOG=trigger",
            b"ERRNO=",
            b"99999999999999999999",
            b"EXTEND_TIMEOUT_USEC=",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below as u64) as usize
        };
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..next(12)).flat_map(|_| pieces[next(12)].to_vec()).collect();
            let message = parse(&bytes);
            let has = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
            assert!(!message.ready || has(b"READY=1"), "{bytes:?}");
            assert!(message.main_pid.is_none() || has(b"MAINPID="), "{bytes:?}");
            assert!(message.status.is_none_or(|s| s.chars().count() <= LONGEST_STATUS + 1));
        }
    }
}

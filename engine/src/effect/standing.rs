//! What a process is besides its identity: no phase changes it, but for the one that daemonizes.

/// Process, session and the switches that decide what a later change of credentials does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// process id
    pub pid: u32,
    /// session id; the process leads its session where it is the process id
    pub sid: u32,
    /// execve(2) grants nothing any more: set-user-ID bits and file capabilities (prctl(2))
    pub no_new_privs: bool,
    /// what a change of the user ids does to the capabilities (capabilities(7), "Securebits")
    pub securebits: u32,
}

impl Standing {
    /// The fields in which `found` is not what was to be expected: (name, expected, found). Where the
    /// process has daemonized since, it is to be another process, in a session made for it that it does
    /// not lead; otherwise nothing is to have changed.
    pub fn differences(&self, found: &Standing, daemonized: bool) -> Vec<(&'static str, String, String)> {
        let mut all = Vec::new();
        let mut differ = |field, expected: String, found: String| all.push((field, expected, found));
        if daemonized {
            if found.sid == found.pid {
                differ("session", "one that the daemon does not lead".into(), "one that it leads".into());
            } else if found.sid == self.sid {
                differ("session", "a new one".into(), format!("still {}", found.sid));
            }
        } else {
            if found.pid != self.pid {
                differ("process", self.pid.to_string(), found.pid.to_string());
            }
            if found.sid != self.sid {
                differ("session", self.sid.to_string(), found.sid.to_string());
            }
        }
        if found.no_new_privs != self.no_new_privs {
            differ("no_new_privs", self.no_new_privs.to_string(), found.no_new_privs.to_string());
        }
        if found.securebits != self.securebits {
            differ("securebits", format!("{:#x}", self.securebits), format!("{:#x}", found.securebits));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;

    const START: Standing = Standing { pid: 100, sid: 90, no_new_privs: false, securebits: 0 };

    fn fields(found: Standing, daemonized: bool) -> Vec<&'static str> {
        START.differences(&found, daemonized).into_iter().map(|(field, ..)| field).collect()
    }

    #[test]
    fn nothing_changes_unless_it_daemonizes() {
        assert!(fields(START, false).is_empty());
        assert_eq!(fields(Standing { pid: 101, sid: 101, ..START }, false), ["process", "session"]);
        assert_eq!(fields(Standing { no_new_privs: true, securebits: 4, ..START }, false).len(), 2);
    }

    #[test]
    fn a_daemon_is_in_a_new_session_and_does_not_lead_it() {
        assert!(fields(Standing { pid: 102, sid: 101, ..START }, true).is_empty());
        assert_eq!(fields(Standing { pid: 101, sid: 101, ..START }, true), ["session"]);
        assert_eq!(fields(Standing { pid: 102, sid: 90, ..START }, true), ["session"]);
    }
}

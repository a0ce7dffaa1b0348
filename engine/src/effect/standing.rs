//! Which process it is: no phase changes that, but for the one that daemonizes.

/// Process and session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// process id
    pub pid: u32,
    /// session id; the process leads its session where it is the process id
    pub sid: u32,
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
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;

    const START: Standing = Standing { pid: 100, sid: 90 };

    fn fields(found: Standing, daemonized: bool) -> Vec<&'static str> {
        START.differences(&found, daemonized).into_iter().map(|(field, ..)| field).collect()
    }

    #[test]
    fn nothing_changes_unless_it_daemonizes() {
        assert!(fields(START, false).is_empty());
        assert_eq!(fields(Standing { pid: 101, sid: 101 }, false), ["process", "session"]);
    }

    #[test]
    fn a_daemon_is_in_a_new_session_and_does_not_lead_it() {
        assert!(fields(Standing { pid: 102, sid: 101 }, true).is_empty());
        assert_eq!(fields(Standing { pid: 101, sid: 101 }, true), ["session"]);
        assert_eq!(fields(Standing { pid: 102, sid: 90 }, true), ["session"]);
    }
}

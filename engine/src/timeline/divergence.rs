//! A difference between prediction and machine, in words.

use super::Divergence;

impl Divergence {
    /// "umask was predicted to be 022 and is 000 after load /srv/a.tac".
    pub fn sentence(&self) -> String {
        let Divergence { effect, field, predicted, observed, .. } = self;
        let after = if effect.is_empty() { String::new() } else { format!(" after {effect}") };
        match predicted.is_empty() {
            true => format!("{field} is {observed}{after}, which was not predicted"),
            false => format!("{field} was predicted to be {predicted} and is {observed}{after}"),
        }
    }

    /// What it may mean, and for what: a fragment that follows "it may mean that".
    pub fn meaning(&self) -> &'static str {
        match self.field.as_str() {
            "uid" | "gid" | "groups" => {
                "code that ran in this phase has set other ids, or a user namespace or a security module has; \
                 what was checked of every later phase was checked for another user"
            }
            "caps" | "permitted" | "inheritable" | "ambient" => {
                "code that ran in this phase, securebits, a user namespace or a security module has changed the \
                 capabilities; later phases may do more or less than was checked"
            }
            "bounding" => {
                "code that ran in this phase has taken capabilities out of the bounding set; programs that are \
                 executed later can never have them"
            }
            "root" => {
                "code that ran in this phase has changed the root, or a directory was replaced after the check; \
                 every later path leads elsewhere than was checked"
            }
            "cwd" => {
                "code that ran in this phase has changed the directory, or one was renamed or replaced after the \
                 check; relative paths lead elsewhere"
            }
            "umask" => {
                "code that ran in this phase has changed the umask; files that are made from here on have other \
                 modes than was checked"
            }
            "process" => {
                "code that ran in this phase has forked and went on in the child; whoever waits for the start, or \
                 reads a PID file that was made before, knows another process"
            }
            "session" => {
                "code that ran in this phase has called setsid(2); the terminal and its signals belong to another \
                 session, and a session leader may get a terminal by opening one"
            }
            "no_new_privs" => {
                "code that ran in this phase has set no_new_privs; programs that are executed later get nothing \
                 from set-user-ID bits and file capabilities"
            }
            "securebits" => {
                "code that ran in this phase has changed the securebits; a later change of the user may keep or \
                 lose capabilities otherwise than was checked"
            }
            "seccomp" => {
                "code that ran in this phase has put a filter of system calls on; what it denies fails later, in \
                 this process and in all that it starts"
            }
            "namespaces" => {
                "code that ran in this phase has called unshare(2) or setns(2); files, ports or names that later \
                 phases use are others than was checked"
            }
            "state" => {
                "the machine has changed since the check, or the check is wrong here, and then it is worth a report"
            }
            _ => "the machine has changed since the check, or code that ran in this phase has changed it",
        }
    }
}

//! Where a witness stands: a machine of its own, made of namespaces.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No session may take longer.
const LIMIT: Duration = Duration::from_secs(120);

const UNSHARE: [&str; 8] =
    ["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "--propagation", "private"];

/// What a session finds.
pub struct Place<'a> {
    /// the code it is of
    pub code: &'a str,
    /// files below its directory
    pub files: BTreeMap<String, String>,
    /// an environment in which Twisted is installed
    pub twisted: Option<PathBuf>,
}

/// Runs before the session. /srv holds the command, for whoever may not enter the build directory.
const SETUP: &str = r#"
set -e
ip link set lo up
for place in /srv /run /var/log /var/lib; do mount -t tmpfs -o mode=0755 none "$place"; done
mkdir -p /srv/.bin /srv/demo /run/lock
touch /srv/.bin/rsd
mount --bind "$RSD" /srv/.bin/rsd
if [ -n "$TWISTED" ]; then mkdir /srv/.twisted; mount --bind "$TWISTED" /srv/.twisted; fi
mount -t tmpfs -o mode=1777 none /tmp
(grep -v -e '^svc:' -e '^other:' /etc/passwd
 printf '%s\n' svc:x:4000:4000::/srv:/bin/sh other:x:4100:4100::/srv:/bin/sh) >/srv/.passwd
(grep -v -e '^svc:' -e '^svcextra:' -e '^other:' /etc/group
 printf '%s\n' svc:x:4000: svcextra:x:4001:svc other:x:4100:) >/srv/.group
mount --bind /srv/.passwd /etc/passwd
mount --bind /srv/.group /etc/group
cd /srv/demo
export PATH="/srv/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/srv NO_COLOR=1
[ -z "$TWISTED" ] || export VIRTUAL_ENV=/srv/.twisted
set +e
umask 022
mark() { printf '\001%s\n' "$1"; return "$1"; }
eventually() {
    for _ in {1..400}; do "$@" >/dev/null 2>&1 && return; sleep 0.05; done
    echo "this never came true: $*"; return 1
}
divergences() {
    for journal in /var/lib/rsd/*/*; do
        [ -e "$journal" ] || continue
        rsd trace "$journal" --format json >/tmp/timeline || { echo "$journal cannot be read"; continue; }
        grep -q '"divergences": *\[\]' /tmp/timeline || { echo "$journal diverged"; cat /tmp/timeline; }
    done
}
"#;

/// Why there can be no sandbox, if there can be none.
pub fn unavailable() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("they need root".to_owned());
    }
    let out = Command::new("unshare").args(UNSHARE).arg("true").output();
    match out {
        Ok(out) if out.status.success() => None,
        Ok(out) => Some(format!("no namespaces here: {}", String::from_utf8_lossy(&out.stderr).trim())),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// Types a script into a shell in a sandbox of its own; the answer is what was printed.
pub fn run(place: &Place, script: &str) -> Result<String, String> {
    let problem = |e: std::io::Error| format!("{}: {e}", place.code);
    let mut whole = format!("exec </dev/null 2>&1\n{SETUP}");
    for (name, text) in &place.files {
        let (dir, _) = name.rsplit_once('/').unwrap_or((".", ""));
        whole.push_str(&format!("mkdir -p '{dir}'; cat >'{name}' <<'END_OF_FILE'\n{text}END_OF_FILE\n"));
    }
    whole.push_str(script);
    let mut printed = tempfile::tempfile().map_err(problem)?;
    let mut child = Command::new("unshare")
        .args(UNSHARE)
        .args(["bash", "-c", &whole])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("RSD", env!("CARGO_BIN_EXE_rsd"))
        .env("TWISTED", place.twisted.as_deref().unwrap_or(Path::new("")))
        .stdin(Stdio::null())
        .stdout(printed.try_clone().map_err(problem)?)
        .stderr(printed.try_clone().map_err(problem)?)
        .spawn()
        .map_err(problem)?;
    let begin = Instant::now();
    while child.try_wait().map_err(problem)?.is_none() {
        if begin.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end in {LIMIT:?}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut text = Vec::new();
    printed.rewind().and_then(|()| printed.read_to_end(&mut text)).map_err(problem)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

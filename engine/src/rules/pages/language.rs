//! 01xx: the language.

use super::{Page, Starter::Anyone, Starter::Root};

const SPEC: &[&str] = &["--spec", "spec.yaml"];

pub(super) const PAGES: &[Page] = &[
    Page {
        code: "RSD0101",
        title: "the spec cannot be read",
        story: "
There is no such file and no built-in spec of that name, or the file may not
be read, or is not UTF-8 text, or holds control characters, or is larger than
32 MiB. A name without a slash is first looked for in the working directory
and then among the built-in specs.",
        spec: "",
        args: &["--spec", "missing.yaml"],
        starter: Anyone,
        failure: "nothing can be started. The system call is openat(2), and it
answers ENOENT or EACCES.",
        fix: "give the path of a spec, or a name that `rsd specs` lists.",
    },
    Page {
        code: "RSD0102",
        title: "the text is not YAML",
        story: "
The reader of YAML came to a character that cannot stand there: a bracket or a
quote that is not closed, a tab that indents, a colon too many. The caret
stands where reading had to end; the cause is often a little before it.",
        spec: "
rsd: 1
name: [demo",
        args: SPEC,
        starter: Anyone,
        failure: "a reader that guesses would take half of the file for the
whole. Here nothing of it is used.",
        fix: "close what is open, and indent with spaces. A text that begins
with one of *&!|>%@` or holds `: ` or ` #` needs quotes.",
    },
    Page {
        code: "RSD0103",
        title: "the text is no spec",
        story: "
It is YAML, and not one mapping with keys such as `rsd:`, `name:` and
`phases:`. It is empty, or a list, or one word, or the file has a second
document behind `---`.",
        spec: "
- rsd: 1
- name: demo",
        args: SPEC,
        starter: Anyone,
        failure: "there are no phases to run. A second document would be
ignored by many programs, together with what it says.",
        fix: "write one mapping. `rsd specs twistd` prints a whole spec to
start from.",
    },
    Page {
        code: "RSD0104",
        title: "a key is written twice",
        story: "
The same key stands twice in one mapping. YAML forbids it (1.2.2, section
3.2.1.1), and most readers take the last one in silence. In a spec that would
be one of two users, or one of two privileges.",
        spec: "
rsd: 1
name: demo
phases:
  drop: { kind: switch-user, with: { uid: nobody, uid: root } }",
        args: SPEC,
        starter: Anyone,
        failure: "a reader that takes the last would start this as root.",
        fix: "remove one of them. The finding shows both places.",
    },
    Page {
        code: "RSD0105",
        title: "a key that the language does not have here",
        story: "
Every key is known, and a key that is not known is refused, not ignored. A key
may also stand in the wrong place: `privilege` at a group, or `phases` under
something that has a `kind`.",
        spec: "
rsd: 1
name: demo
phases:
  first: { kind: umask, with: { mask: '027' } }
  drop:  { kind: switch-user, privelege: root }",
        args: SPEC,
        starter: Anyone,
        failure: "a misspelt `needs` or `privilege` that is ignored leaves a
phase where it may run too early, or with too much.",
        fix: "use the name that is suggested. The keys are listed in
docs/spec.md.",
    },
    Page {
        code: "RSD0106",
        title: "a value of the wrong sort",
        story: "
A text stands where a list or a mapping is expected, or the other way round,
or a word where `true` or `false` is. `null` takes away what was inherited and
has a meaning only in a spec that extends another.",
        spec: "
rsd: 1
name: demo
phases: [umask, daemonize]",
        args: SPEC,
        starter: Anyone,
        failure: "there is nothing that could be run: phases are a mapping from
names to what they do.",
        fix: "write what the caret line expects.",
    },
    Page {
        code: "RSD0107",
        title: "something is missing",
        story: "
A key that must be there is not: `rsd` (the version of the language), `name`,
`phases`; `kind` or `phases` in a phase; `times` in a retry. Also given for a
version that this build does not read.",
        spec: "
name: demo
phases:
  serve: { kind: serve }",
        args: SPEC,
        starter: Anyone,
        failure: "without a version, a later build could read the same file
and mean something else by it.",
        fix: "add the key. A spec begins with `rsd: 1`.",
    },
    Page {
        code: "RSD0108",
        title: "`extends` cannot be followed",
        story: "
The spec that is extended cannot be read, or extends the first one again, or
more than 32 specs stand on one another. The path is seen from the file that
names it; a name without a slash may also be a built-in spec.",
        spec: "
rsd: 1
name: demo
extends: no-such-base.yaml",
        args: SPEC,
        starter: Anyone,
        failure: "the phases that this spec changes are not known.",
        fix: "correct the path, or take `extends` out.",
    },
    Page {
        code: "RSD0109",
        title: "a name that cannot be used",
        story: "
Names of specs, phases and options end up in file names, on command lines, in
journals and on terminals. So they are short and hold no spaces, slashes,
commas, `$`, control characters, or characters that change the direction of
writing. A name of an option is made of ASCII letters, digits, `-` and `_`.",
        spec: "
rsd: 1
name: ../demo
phases:
  serve: { kind: serve }",
        args: SPEC,
        starter: Anyone,
        failure: "journals are kept under the name of the spec: this one would
leave the directory that they belong in.",
        fix: "use letters, digits, `-`, `_` and `.`.",
    },
    Page {
        code: "RSD0110",
        title: "a part of YAML that a spec does not use, or uses too much",
        story: "
Tags (`!!int`), merge keys (`<<`) and keys that are lists are refused. Anchors
and aliases are allowed, and what aliases copy is counted: nine lines of
aliases to aliases make a billion values (the `billion laughs`). So is depth:
at most 100 levels.",
        spec: "
rsd: 1
name: demo
phases:
  serve: { kind: serve, needs: *others }",
        args: SPEC,
        starter: Anyone,
        failure: "an alias bomb fills the memory of a process that runs as
root, before any check of the spec.",
        fix: "write values out. To share phases, use `extends`.",
    },
    Page {
        code: "RSD0111",
        title: "no option of that name",
        story: "
`${…}`, `when:` or the command line names an option that the spec does not
have. `${name}` is always there: the name of the instance. `when: root` is
too: whether the start was made as uid 0.",
        spec: "
rsd: 1
name: demo
options:
  pidfile: { type: path, default: demo.pid }
phases:
  openPIDFile: { kind: create-pid-file, with: { path: '${pidfle}' } }",
        args: SPEC,
        starter: Anyone,
        failure: "put in as nothing, the path would be empty; left as it is, a
file would be called `${pidfle}`.",
        fix: "correct the name. `$$` is one `$`.",
    },
    Page {
        code: "RSD0112",
        title: "an option that cannot be",
        story: "
The definition of an option contradicts itself or another: no type or an
unknown one, two options with one letter, a flag that is a list, a name that
rsd's own flags have, defaults that depend on one another in a circle.",
        spec: "
rsd: 1
name: demo
options:
  pidfile: { type: file }
phases:
  serve: { kind: serve }",
        args: SPEC,
        starter: Anyone,
        failure: "the flag could not be put on a command line, or its value
could not be told.",
        fix: "the types are path, user, group, mode, flag, string, integer,
duration, size, socket and command.",
    },
    Page {
        code: "RSD0113",
        title: "a value that is not of its type, or contradicts another",
        story: "
Every option and every parameter has a type, and its text must be one of
those. Modes are octal however they are written. Durations have a unit. Hosts
are addresses, because names are looked up by code that must not run as root
in a new root directory. A path of a Unix socket has at most 107 bytes. Two
values are refused where only one could be taken: a program and a TAC, or in
the spec daemon `--user` and `--uid`, two names for one thing.",
        spec: "
rsd: 1
name: demo
phases:
  umask: { kind: umask, with: { mask: '089' } }",
        args: SPEC,
        starter: Anyone,
        failure: "strtol(3) would read `089` as 0: a umask that takes nothing
away, and files that everybody may write.",
        fix: "write the value as the finding shows it.",
    },
    Page {
        code: "RSD0114",
        title: "an option that must be given",
        story: "
The spec says `required: true`, and neither the command line nor a default has
a value. An empty value (`--uid=`) takes a value away and does not count.",
        spec: "
rsd: 1
name: demo
options:
  uid: { type: user, required: true }
phases:
  drop: { kind: switch-user, with: { uid: '${uid}' } }",
        args: SPEC,
        starter: Anyone,
        failure: "without its user this daemon would stay root: a parameter
that is wholly an unset option is absent, and the drop has nothing to do.",
        fix: "give the option.",
    },
    Page {
        code: "RSD0115",
        title: "facts that cannot be used",
        story: "
`--snapshot FILE` judges by the facts in a file, of this machine or another.
The file was cut, is none of rsd's, was written in another form by another
version, says a thing twice, or cannot be written. Or the spec and the options
ask for what the snapshot was not asked for when it was taken: another path,
user, program or port. A verdict without these facts would be on no machine at
all, so there is none.",
        spec: "
rsd: 1
name: demo
extends: twistd",
        args: &["--spec", "spec.yaml", "--snapshot", "spec.yaml"],
        starter: Anyone,
        failure: "a check that takes what it does not know for
what is not there would refuse a good order, or call a bad one fine.",
        fix: "take it again on the machine it is of, with the same spec and
options: `rsd check … --snapshot FILE`, where FILE does not exist yet.",
    },
    Page {
        code: "RSD0116",
        title: "a spec that others may write",
        story: "
What a spec says is done as root where root starts it: which program, as which
user, which files. So as root a spec is taken only if nobody else could have
written it: it, every spec that it extends, and every directory and link on
the way belong to root, and neither their mode nor an access list lets others
write. In a directory such as /tmp the sticky bit keeps what is root's. The
commands that look for the daemon refuse it too: a spec that was changed names
another daemon's PID file. An ordinary user may read what specs it likes.",
        spec: "
rsd: 1
name: demo
phases:
  umask: { kind: umask, with: { mask: '022' } }",
        args: SPEC,
        starter: Root,
        failure: "whoever may write the file is root at the next start. Here
everybody may: `chmod 0666 spec.yaml`.",
        fix: "chown root and chmod go-w what the finding names. `--trust-spec`
takes it all the same, on a machine where whoever may write it is root anyway.",
    },
];

//! `no-new-privileges`: nothing gives privileges any more.

super::plain!(
    "no-new-privileges",
    "Sets no_new_privs: no program that is run from here gains privileges by a set-id bit or a file capability.",
    "prctl(2), PR_SET_NO_NEW_PRIVS; inherited, and for good. It needs no privilege itself, and it is what an \
     ordinary user needs for a system call filter and for Landlock. Put it last: `sudo` and the like stop working.",
    engine::effect::Effect::Process(engine::effect::Setting::NoNewPrivileges)
);

//! `keyring`: a session keyring of its own.

super::plain!(
    "keyring",
    "Makes a new session keyring, so that the keys of the caller's session are out of reach.",
    "keyctl(2), KEYCTL_JOIN_SESSION_KEYRING; inherited. A daemon that was started from a login otherwise possesses \
     every key of that login (keyrings(7)): tickets, keys of encrypted directories. The user's own keyring, which \
     the kernel has for every uid, is reached as before.",
    engine::effect::Effect::Process(engine::effect::Setting::Keyring)
);

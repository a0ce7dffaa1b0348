# shellcheck shell=bash
# Debian's packages for the tests. Sourced. Debian starts a server when it installs it, unless
# /usr/sbin/policy-rc.d says no.

policy=/usr/sbin/policy-rc.d
policy_is_ours=
forbid_services() {
    if [ -e "$policy" ]; then
        local answer=0
        "$policy" redis-server start >/dev/null 2>&1 || answer=$?
        [ "$answer" -ne 101 ] || return 0
        mv "$policy" "$policy.before-rsd-tests"
    fi
    policy_is_ours=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}
allow_services() {
    [ -n "$policy_is_ours" ] || return 0
    policy_is_ours=
    rm -f "$policy"
    [ ! -e "$policy.before-rsd-tests" ] || mv "$policy.before-rsd-tests" "$policy"
}

# Rows of "COMMAND-OR-FILE PACKAGE": the packages whose command or file (a pattern) is not there.
missing_of() {
    local row tool package
    for row in "$@"; do
        read -r tool package <<<"$row"
        case "$tool" in
            /*) compgen -G "$tool" >/dev/null || echo "$package" ;;
            *) command -v "$tool" >/dev/null || echo "$package" ;;
        esac
    done
}

# Whether packages can be installed here.
can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

install_packages() {
    [ "$#" -gt 0 ] || return 0
    echo "== installing: $*"
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
    trap allow_services EXIT
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" update
    RUNLEVEL=1 "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null
    allow_services
    trap - EXIT
}

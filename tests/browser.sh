#!/usr/bin/env bash
# The HTML and SVG views in a real browser: one request, nothing refused, no overflow, every key, table equals JSON.
#
#   tests/browser.sh            check
#   tests/browser.sh --update   check, and write the pictures of the README to docs/img
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset CDPATH

skip() {
    echo "skipped: tests/browser.sh: $1"
    [ -z "${RSD_TEST_NO_SKIP-}" ] || exit 1
    exit 0
}
for tool in chromium node npm; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
if [ "${1-}" = --update ] && ! command -v pngquant >/dev/null; then
    echo "pngquant makes the pictures small: apt-get install pngquant" >&2
    exit 1
fi

rsd=${RSD_TEST_BIN-}
if [ -z "$rsd" ]; then
    cargo build --quiet --locked
    rsd=${CARGO_TARGET_DIR-target}/debug/rsd
fi
rsd=$(realpath "$rsd")
(cd tests/browser && npm ci --silent --no-audit --no-fund) || skip "npm cannot fetch playwright-core"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp tests/browser/runs/*.jsonl "$work/"
# Fresh runs in place of the recorded ones.
if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: browser.sh: not root: real runs of a Twisted application; recorded ones are drawn"
elif ! tests/browser/real-runs.sh "$rsd" "$work" >"$work/said" 2>&1; then
    cat "$work/said"
    echo "skipped: browser.sh: real runs of a Twisted application; recorded ones are drawn"
    [ -z "${RSD_TEST_NO_SKIP-}" ] || exit 1
elif [ "${1-}" = --update ]; then
    cp "$work/drop.jsonl" "$work/failed.jsonl" tests/browser/runs/
fi
for journal in "$work"/*.jsonl; do
    for form in html svg json; do "$rsd" trace "$journal" -o "${journal%.jsonl}.$form"; done
done
# a large run, made here
python3 tests/browser/large.py 1000 >"$work/large-1000.jsonl"
python3 tests/browser/large.py 100000 >"$work/large-100000.jsonl"
for n in 1000 100000; do "$rsd" trace "$work/large-$n.jsonl" -o "$work/large-$n.html"; done
node tests/browser/check.mjs "$work" "${1-}"

#!/usr/bin/env bash
# What `rsd trace --format chrome` writes, shown to the programs that people open it with: Perfetto's own
# importer under Node, and speedscope's. Real runs, synthetic ones, large ones, and what must be refused.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/perfetto/client.sh
for tool in node npm python3; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
perfetto_ui
speedscope 2831f1e0d26df914b477e522d78b8485511495a6af81a0b88158f8b48f9e0d03
command_under_test
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

runs=()
record() { # NAME COMMAND...
    "${@:2}" >"$dir/$1.jsonl"
    runs+=("$1")
}
record many python3 tests/perfetto/synthetic.py many ${PERFETTO_MANY:-10000}
record parallel python3 tests/perfetto/synthetic.py parallel 120
if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: perfetto.sh: not root: real runs with a double fork and a drop"
elif ! why=$(unshare --mount --net --pid --fork --mount-proc true 2>&1); then
    echo "skipped: perfetto.sh: real runs: the kernel refuses new namespaces: $why"
else
    tests/perfetto/runs.sh "$rsd" "$dir"
    runs+=(served failed guarded)
fi

check() { node tests/perfetto/check.mjs "$perfetto_ui" "$@"; }
for run in "${runs[@]}"; do
    "$rsd" trace "$dir/$run.jsonl" --format json -o "$dir/$run.view.json"
    for window in startup all; do
        "$rsd" trace "$dir/$run.jsonl" --format chrome --window "$window" -o "$dir/$run-$window.trace.json.gz"
        check "$dir/$run-$window.trace.json.gz" "$dir/$run.view.json"
    done
    # Written as it is and packed it is the same, and the name of the file says which form is meant.
    "$rsd" trace "$dir/$run.jsonl" --window all -o "$dir/$run.trace.json"
    gunzip -c "$dir/$run-all.trace.json.gz" | cmp - "$dir/$run.trace.json"
    node tests/perfetto/speedscope.mjs "$speedscope" "$dir/$run.trace.json" "$dir/$run.view.json"
done

# A check that cannot fail is none.
refused() { # NAME SENTENCE, the trace on standard input
    cat >"$dir/bad.json"
    if said=$(check "$dir/bad.json" "$dir/parallel.view.json" 2>&1); then
        echo "$1 was taken for good: $said"
        exit 1
    fi
    case $said in
        *"$2"*) ;;
        *) echo "$1 was refused for another reason than: $2"; echo "$said"; exit 1 ;;
    esac
}
good=$dir/parallel.trace.json
slice='"ph":"X","cat":"phase","pid":1,"tid":1'
refused "slices that overlap" slice_drop_overlapping_complete_event \
    <<<"[{$slice,\"ts\":0,\"dur\":5,\"name\":\"a\"},{$slice,\"ts\":3,\"dur\":5,\"name\":\"b\"}]"
refused "an empty list" "nothing is shown" <<<"[]"
refused "an empty file" "nothing is shown" </dev/null
refused "an event a line" "nothing is shown" \
    <<<"{$slice,\"ts\":0,\"dur\":5,\"name\":\"a\"}"$'\n'"{$slice,\"ts\":6,\"dur\":5,\"name\":\"b\"}"
refused "an arrow to nowhere" flow_ < <(sed '/"ph":"f"/s/"tid":[0-9]*/"tid":99/' "$good")
refused "a phase that is missing" "not shown: phase7" < <(grep -v '"cat":"phase".*"name":"phase7"' "$good")
refused "a phase that took another time" "takes 1" \
    < <(sed '/"cat":"phase".*"name":"phase7"/s/"dur":[0-9.]*/"dur":0.001/' "$good")
refused "arrows that are exchanged" "does not need" \
    < <(sed '/"ph":"f","cat":"needs"/{s/"id":1,/"id":0,/;s/"id":2,/"id":1,/;s/"id":0,/"id":2,/}' "$good")
refused "a negative duration" "negative" < <(sed '/"name":"phase7"/s/"dur":/"dur":-/' "$good")
echo "what is wrong is refused"

#!/usr/bin/env bash
# What `rsd trace --format otlp` and `--format dot` write, given to the parsers of those who define them:
# OpenTelemetry's published protocol with protobuf's own parser, and Graphviz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/perfetto/client.sh
for tool in python3 dot; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
python_with otlp tests/otlp/requirements.txt
command_under_test
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

python3 tests/perfetto/synthetic.py many 10000 >"$dir/many.jsonl"
python3 tests/perfetto/synthetic.py parallel 120 >"$dir/parallel.jsonl"
runs=(many parallel)
if [ "$(id -u)" -ne 0 ]; then
    echo "skipped: otlp.sh: not root: real runs with a double fork and a drop"
elif ! why=$(unshare --mount --net --pid --fork --mount-proc true 2>&1); then
    echo "skipped: otlp.sh: real runs: the kernel refuses new namespaces: $why"
else
    tests/perfetto/runs.sh "$rsd" "$dir"
    runs+=(served failed guarded)
fi
for run in "${runs[@]}"; do
    "$rsd" trace "$dir/$run.jsonl" --format json -o "$dir/$run.view.json"
    "$rsd" trace "$dir/$run.jsonl" -o "$dir/$run.otlp.json"
    "$python" tests/otlp/check.py "$dir/$run.otlp.json" "$dir/$run.view.json"
done

refused() { # SENTENCE SED-SCRIPT
    sed "$2" "$dir/parallel.otlp.json" >"$dir/bad.json"
    if said=$("$python" tests/otlp/check.py "$dir/bad.json" "$dir/parallel.view.json" 2>&1) || [[ $said != *"$1"* ]]; then
        echo "not refused with \"$1\": $said"
        exit 1
    fi
}
refused 'no field named "spanID"' 's/"spanId"/"spanID"/'
refused "traceId is" 's/"traceId":"../"traceId":"/'
refused "not a number" 's/"kind":1/"kind":"SPAN_KIND_INTERNAL"/'
refused "not a string" 's/"startTimeUnixNano":"\([0-9]*\)"/"startTimeUnixNano":\1/'
refused "its status is not that" 's/"name":"phase7",/"status":{"code":2,"message":"no"},&/'
refused "begins at another time" 's/\("name":"phase7","kind":1,"startTimeUnixNano":"\)1795/\11794/'
refused "stands twice" 's/"spanId":"[0-9a-f]*"/"spanId":"00000000000000aa"/g'
echo "what is wrong is refused"

# Graphviz: nothing to complain of, and a node for every phase.
runs=("${runs[@]/many/}")
sed 's/phase1"/a\\u001b[31m\\"]; x [label=\\"\\\\<\/script>\\u202e\\\\N"/g' "$dir/parallel.jsonl" >"$dir/nasty.jsonl"
"$rsd" trace "$dir/nasty.jsonl" --format json -o "$dir/nasty.view.json"
for run in "${runs[@]}" nasty; do
    [ -n "$run" ] || continue
    "$rsd" trace "$dir/$run.jsonl" -o "$dir/$run.dot"
    dot -Tsvg "$dir/$run.dot" -o "$dir/$run.svg" 2>"$dir/complaints" || true
    phases=$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["spans"]))' "$dir/$run.view.json")
    nodes=$(grep -c 'class="node"' "$dir/$run.svg")
    if [ -s "$dir/complaints" ] || [ "$nodes" -ne "$phases" ]; then
        echo "$run.dot: $nodes nodes for $phases phases"
        cat "$dir/complaints"
        exit 1
    fi
    if LC_ALL=C grep -q $'\x1b\|\xe2\x80\xae' "$dir/$run.svg"; then
        echo "$run.svg holds control characters"
        exit 1
    fi
    python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$dir/$run.svg"
    echo "$run.dot: $nodes nodes"
done

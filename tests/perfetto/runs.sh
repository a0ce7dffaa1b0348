#!/usr/bin/env bash
# Real runs, recorded: as root, in namespaces of their own, with a double fork and a drop.
#
#   tests/perfetto/runs.sh RSD DIR      DIR/served.jsonl DIR/failed.jsonl DIR/guarded.jsonl
set -euo pipefail
rsd=$1 dir=$2
if [ "${3-}" != inside ]; then
    exec unshare --mount --net --pid --fork --mount-proc --kill-child=SIGKILL --propagation private -- \
        "$0" "$rsd" "$dir" inside
fi
mount -t tmpfs -o mode=0755 test /mnt
ip link set lo up
cd /mnt

run() { # NAME EXPECTED-CODE ARGS...
    local name=$1 expected=$2 code=0
    shift 2
    mkdir -p "/mnt/$name"
    common=(--pidfile "/mnt/$name/d.pid" "$@")
    "$rsd" run --journal "/mnt/$name.jsonl" "${common[@]}" >"/mnt/$name.log" 2>&1 || code=$?
    if [ "$code" -ne "$expected" ]; then
        echo "$name: rsd run answered $code, not $expected" >&2
        cat "/mnt/$name.log" >&2
        exit 1
    fi
    if [ "$expected" -eq 0 ]; then
        sleep 0.2
        "$rsd" stop "${common[@]}" >>"/mnt/$name.log" 2>&1
    fi
    cp "/mnt/$name.jsonl" "$dir/$name.jsonl"
}

# As root until the drop, in a new root; at the end the PID file cannot be removed any more.
mkdir -p -m 755 /mnt/jail/mnt/served
run served 0 --spec twistd --uid 65534 --gid 65534 --chroot /mnt/jail --logfile /mnt/served/d.log \
    --listen tcp:127.0.0.1:807
# The port is held by another: everything is undone.
python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 808)); time.sleep(600)' &
holder=$!
for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/808) 2>/dev/null && break || sleep 0.05; done
run failed 1 --spec twistd --uid 65534 --gid 65534 --logfile /mnt/failed/d.log --listen tcp:127.0.0.1:808 \
    --unchecked
kill "$holder"
# A guard keeps the credential and removes the PID file.
cat >/mnt/guarded.yaml <<'SPEC'
rsd: 1
name: guarded
extends: twistd
phases:
  keepGuard: { kind: keep-guard }
  removePIDFile: { privilege: privileged }
order: [privilegedStartService, keepGuard, switchUidGid]
SPEC
run guarded 0 --spec /mnt/guarded.yaml --uid 65534 --gid 65534 --logfile /mnt/guarded/d.log --listen tcp:127.0.0.1:809

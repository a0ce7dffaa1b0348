#!/usr/bin/env bash
# Two real runs of specs/twistd.yaml with a Twisted application, as root in namespaces of their own. Their
# journals are what is left.
#   real-runs.sh RSD DIR     DIR/drop.jsonl: served as nobody, could not remove its PID file at the end
#                            DIR/failed.jsonl: the port was taken; everything was undone
set -euo pipefail
rsd=$1 dir=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
if [ "${3-}" != inside ]; then
    exec unshare --mount --net --pid --fork --mount-proc --kill-child=SIGKILL --propagation private -- \
        "$here/real-runs.sh" "$rsd" "$dir" inside
fi
python=${RSD_TEST_TWISTED:-$top/target/twisted-venv}/bin/python
[ -x "$python" ] || { echo "no Twisted in $python; tests/all --install installs it" >&2; exit 1; }
mount -t tmpfs -o mode=0755 test /srv
mount -t tmpfs -o mode=0755 test /var/lib
ip link set lo up
mkdir -p /srv/web /srv/journals /srv/log /srv/twisted
mount --bind "$(dirname "$python")/.." /srv/twisted
python=/srv/twisted/bin/python
chown 65534:65534 /srv/log
cp "$here/app.tac" "$top/specs/twistd.yaml" /srv/web/
cd /srv/web
run() { # JOURNAL
    "$rsd" run --spec twistd.yaml -y app.tac --uid nobody --rundir /srv/web --umask 027 --pidfile web.pid \
        --logfile /srv/log/web.log --interpreter "$python" --journal "/srv/journals/$1" 2>/srv/said
}
fail() { # WHY
    echo "$1" >&2
    cat /srv/said /srv/log/web.log >&2
    exit 1
}
# once unseen: what is measured is not the disk
run first.jsonl || fail "the application was not started"
"$rsd" stop --spec twistd.yaml --pidfile web.pid >/dev/null 2>&1 || true
rm -f web.pid /srv/log/web.log
run drop.jsonl || fail "the application was not started"
daemon=$(cat web.pid)
[ "$(curl -sS 127.0.0.1:807)" = "it works" ] || fail "the application does not answer"
sleep 3
kill -TERM "$daemon"
for _ in $(seq 100); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.05; done
[ -e web.pid ] || fail "the PID file is gone: no trap was shown"
rm -f web.pid

python3 - <<'PY' &
import socket, time
taken = socket.create_server(("127.0.0.1", 807))
open("/srv/taken", "w").close()
time.sleep(60)
PY
holder=$!
for _ in $(seq 100); do [ -e /srv/taken ] && break; sleep 0.05; done
code=0
run failed.jsonl || code=$?
kill "$holder"
[ "$code" -eq 1 ] || fail "expected exit 1, got $code"
[ ! -e web.pid ] || fail "the failed start left its PID file"
cp /srv/journals/drop.jsonl /srv/journals/failed.jsonl "$dir/"

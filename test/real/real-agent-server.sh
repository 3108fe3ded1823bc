#!/bin/bash
# SPDX-License-Identifier: MIT
# test/real/real-agent-server.sh: the real OpenHands agent-server, and the real OpenHands app server (the cloud's
# API), as test targets on loopback.
# Written for a Debian bookworm machine, run as root, with the Debian mirror and the Python registry reachable by apt and pip.
#
#   real-agent-server.sh setup     CACHE            make root + venv (idempotent)
#   real-agent-server.sh start     CACHE PORT [KEY] [NAME=VALUE ...]
#   real-agent-server.sh stop      CACHE PORT       server and what it left running
#   real-agent-server.sh status    CACHE PORT
#   real-agent-server.sh setup-app CACHE            add the app server (cloud API)
#   real-agent-server.sh start-app CACHE PORT SANDBOX_BASE_PORT [KEY] [NAME=VALUE ...]
#   real-agent-server.sh stop-app  CACHE PORT
#   real-agent-server.sh umount    CACHE            undo the mounts (before removing CACHE)
#
# start prints one line "pid=N url=http://127.0.0.1:PORT root=DIR workdir=DIR"
# when GET /ready answers 200.  An empty KEY ("") starts a server without
# authentication.  NAME=VALUE pairs are added to the server's environment
# (for example OH_BASH_EVENTS_RETENTION_SECONDS=60).  FRESH=1 in the caller's
# environment empties the work directory of that port first.
# Paths that a client sends to the server (uploads, cwd) are inside root.
set -euo pipefail
umask 022
export LC_ALL=C
HERE=$(cd "$(dirname "$0")" && pwd)
REQ_AGENT=$HERE/real-agent-server.requirements.txt
REQ_APP=$HERE/real-cloud-app-server.requirements.txt
CA=/etc/ssl/certs/ca-certificates.crt
START_TIMEOUT=${START_TIMEOUT:-120}

die() { echo "real-agent-server: $*" >&2; exit 1; }
log() { echo "real-agent-server: $*" >&2; }
usage() { sed -n '3,23p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }

[ $# -ge 2 ] || usage
VERB=$1
CACHE=$(mkdir -p "$2" && cd "$2" && pwd); shift 2
ROOT=$CACHE/root
RUN=$CACHE/run
mkdir -p "$RUN"

# --- Debian mirror and proxy: whatever apt on this machine already uses -------
mirror() {
    # apt knows the final list, in both one-line and deb822 form
    apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk -F'|' '$1=="Debian" && $2 !~ /security/ {sub(/\/$/,"",$2); print $2; exit}' > "$RUN/mirror" || true
    if [ ! -s "$RUN/mirror" ]; then
        { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([a-z+]*:\/\/[^ ]*\) .*/\2/p'
          cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs:[ ]*\([^ ]*\).*/\1/p'; } |
            grep -E '/debian/?$' | head -n 1 | sed 's/\/$//' > "$RUN/mirror"
    fi
    [ -s "$RUN/mirror" ] || die "no Debian mirror in this machine's apt sources"
    cat "$RUN/mirror"
}
apt_proxy() { apt-config dump 2>/dev/null | sed -n 's/^Acquire::http::[Pp]roxy "\(.*\)";/\1/p' | head -n 1; }

mounted() { awk -v p="$1" '$2==p{f=1} END{exit !f}' /proc/mounts; }
do_mounts() {
    mkdir -p "$ROOT/dev/pts" "$ROOT/dev/shm"
    mounted "$ROOT/proc"    || mount -t proc proc "$ROOT/proc"
    mounted "$ROOT/dev/pts" || mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$ROOT/dev/pts"
    mounted "$ROOT/dev/shm" || mount -t tmpfs -o mode=1777,size=256m tmpfs "$ROOT/dev/shm"
    # the server needs pseudo-terminals (tmux)
    if [ ! -e "$ROOT/dev/ptmx" ] || [ ! -L "$ROOT/dev/ptmx" ]; then ln -sf pts/ptmx "$ROOT/dev/ptmx"; fi
}
do_umounts() {
    local m
    for m in dev/shm dev/pts proc; do
        if mounted "$ROOT/$m"; then umount "$ROOT/$m" || umount -l "$ROOT/$m"; fi
    done
}

in_root() { # in_root COMMAND...: clean environment plus the registry settings of the caller
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        SSL_CERT_FILE=$CA REQUESTS_CA_BUNDLE=$CA PIP_CERT=$CA DEBIAN_FRONTEND=noninteractive \
        UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=hardlink UV_HTTP_TIMEOUT=180 \
        ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL" UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"} \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
        chroot "$ROOT" "$@"
}

setup_root() {
    if [ -e "$ROOT/.stage-root" ]; then return; fi
    [ "$(id -u)" = 0 ] || die "setup needs root"
    if ! command -v debootstrap >/dev/null; then
        apt-get update -q >&2 && apt-get install -y -q --no-install-recommends debootstrap >&2
    fi
    local m p; m=$(mirror); p=$(apt_proxy)
    log "debootstrap trixie"
    do_umounts; rm -rf --one-file-system "$ROOT"; mkdir -p "$ROOT"
    ${p:+env http_proxy="$p"} debootstrap --variant=minbase \
        --include=ca-certificates,python3,python3-venv,git,curl,procps,tmux \
        trixie "$ROOT" "$m" > "$CACHE/debootstrap.log" 2>&1 || { tail -n 20 "$CACHE/debootstrap.log" >&2; die "debootstrap failed"; }
    touch "$ROOT/.stage-root"
}
setup_common() {
    # The host's CA file, in case the registries are reached through a local CA.
    install -m 644 "$CA" "$ROOT$CA"
    cp -L /etc/resolv.conf "$ROOT/etc/resolv.conf" 2>/dev/null || true
    for f in /etc/pip.conf; do [ ! -e $f ] || install -m 644 $f "$ROOT$f"; done
    do_mounts
    if [ ! -x "$ROOT/opt/uv/bin/uv" ]; then
        log "installing uv"
        in_root python3 -m venv /opt/uv
        in_root /opt/uv/bin/pip install -q uv
    fi
}
setup_venv() { # setup_venv NAME REQUIREMENTS
    local name=$1 req=$2 want have
    want=$(sha256sum < "$req"); have=$(cat "$ROOT/opt/$name/.stage-venv" 2>/dev/null || true)
    [ "$want" != "$have" ] || return 0
    log "installing $name"
    install -m 644 "$req" "$ROOT/root/$name.txt"
    in_root /opt/uv/bin/uv venv -q --clear --python /usr/bin/python3 "/opt/$name"
    in_root /opt/uv/bin/uv pip install -q --compile-bytecode --python "/opt/$name/bin/python" --no-deps -r "/root/$name.txt"
    echo "$want" > "$ROOT/opt/$name/.stage-venv"
}
setup_agent() { setup_root; setup_common; setup_venv agent "$REQ_AGENT"; }
setup_app() {
    setup_agent; setup_venv app "$REQ_APP"
    # The sandbox launcher: the agent venv, bound to loopback only (with a
    # session key set, the agent-server would otherwise bind every interface).
    cat > "$ROOT/opt/app/sandbox-python" <<'S'
#!/bin/sh
unset PYTHONPATH
exec /opt/agent/bin/python "$@" --host 127.0.0.1
S
    chmod 755 "$ROOT/opt/app/sandbox-python"
    # The process sandbox service takes a process whose state is "sleeping" for
    # STARTING, so an idle sandbox would never be RUNNING.  Read it as running.
    mkdir -p "$ROOT/opt/app/shim"
    cat > "$ROOT/opt/app/shim/sitecustomize.py" <<'S'
try:
    import psutil
    _plain_status = psutil.Process.status

    def _status(self):
        got = _plain_status(self)
        idle = (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP, psutil.STATUS_IDLE)
        return psutil.STATUS_RUNNING if got in idle else got

    psutil.Process.status = _status
except ImportError:
    pass
S
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() { # alive PIDFILE: the pid recorded there, and still the same process (a dead one may wait to be buried)
    local pid st; [ -s "$1" ] || return 1
    read -r pid st < "$1"
    [ "$(start_time "$pid")" = "$st" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null && echo "$pid"
}
launch() { # launch TAG PORT PROBE ENV... -- COMMAND...
    local tag=$1 port=$2 probe=$3; shift 3
    local pf=$RUN/$tag-$port.pid lf=$RUN/$tag-$port.log wd=/workspace/$tag-$port envs=() pid t0 i
    if pid=$(alive "$pf"); then echo "pid=$pid url=http://127.0.0.1:$port root=$ROOT workdir=$wd"; return 0; fi
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then die "port $port is taken"; fi
    do_mounts
    [ "${FRESH:-0}" != 1 ] || rm -rf --one-file-system "$ROOT$wd"
    mkdir -p "$ROOT$wd/home"
    while [ "$1" != -- ]; do envs+=("$1"); shift; done; shift
    t0=$(date +%s%N)
    # LITELLM_LOCAL_MODEL_COST_MAP: without it litellm fetches a price list while
    # it is being imported, and a quick failure of that fetch can kill the server.
    setsid chroot "$ROOT" /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$wd/home" LANG=C.UTF-8 \
        SSL_CERT_FILE=$CA LITELLM_LOCAL_MODEL_COST_MAP=True REAL_SERVER_MARK="$tag-$port" "${envs[@]}" \
        /bin/sh -c 'cd "$0" && exec "$@"' "$wd" "$@" > "$lf" 2>&1 < /dev/null &
    pid=$!
    for i in $(seq 1 $((START_TIMEOUT * 10))); do
        if ! kill -0 "$pid" 2>/dev/null; then tail -n 20 "$lf" >&2; die "server on port $port ended during start"; fi
        if curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$port$probe"; then
            echo "$pid $(start_time "$pid")" > "$pf"
            log "ready after $(( ($(date +%s%N) - t0) / 1000000 )) ms"
            echo "pid=$pid url=http://127.0.0.1:$port root=$ROOT workdir=$wd"
            return 0
        fi
        sleep 0.1
    done
    kill "$pid" 2>/dev/null || true
    tail -n 20 "$lf" >&2; die "server on port $port not ready after $START_TIMEOUT s"
}
marked() { # pids whose environment carries the mark of TAG-PORT: the server's leftovers
    local p
    for p in /proc/[0-9]*; do
        if grep -qzx "REAL_SERVER_MARK=$1" "$p/environ" 2>/dev/null; then echo "${p#/proc/}"; fi
    done
}
halt() { # halt TAG PORT
    local pf=$RUN/$1-$2.pid pid i left
    if pid=$(alive "$pf"); then
        kill "$pid" 2>/dev/null || true
        for i in $(seq 1 100); do alive "$pf" >/dev/null || break; sleep 0.1; done
        if alive "$pf" >/dev/null; then kill -KILL "$pid" 2>/dev/null || true; fi
    fi
    rm -f "$pf"
    # Commands started through the server outlive it: end them too.
    left=$(marked "$1-$2")
    if [ -n "$left" ]; then
        # shellcheck disable=SC2086
        kill -CONT $left 2>/dev/null || true; kill $left 2>/dev/null || true; sleep 0.5
        left=$(marked "$1-$2")
        # shellcheck disable=SC2086
        [ -z "$left" ] || kill -KILL $left 2>/dev/null || true
    fi
}

case $VERB in
setup)     setup_agent ;;
setup-app) setup_app ;;
start)
    [ $# -ge 1 ] || usage
    port=$1; key=${2:-}; shift; [ $# -eq 0 ] || shift
    [ -x "$ROOT/opt/agent/bin/agent-server" ] || die "run setup first"
    launch agent "$port" /ready OH_ENABLE_VSCODE=false OH_PRELOAD_TOOLS=false \
        ${key:+OH_SESSION_API_KEYS_0="$key"} "$@" -- \
        /opt/agent/bin/agent-server --host 127.0.0.1 --port "$port" ;;
start-app)
    [ $# -ge 2 ] || usage
    port=$1; base=$2; key=${3:-}; shift 2; [ $# -eq 0 ] || shift
    [ -x "$ROOT/opt/app/bin/python" ] || die "run setup-app first"
    launch app "$port" /health RUNTIME=process SERVE_FRONTEND=false PYTHONPATH=/opt/app/shim \
        OH_PERSISTENCE_DIR="/workspace/app-$port/data" OH_ENABLE_VSCODE=false OH_PRELOAD_TOOLS=false \
        OH_SANDBOX_KIND=ProcessSandboxServiceInjector OH_SANDBOX_SPEC_KIND=ProcessSandboxSpecServiceInjector \
        OH_SANDBOX_PYTHON_EXECUTABLE=/opt/app/sandbox-python OH_SANDBOX_BASE_PORT="$base" \
        OH_SANDBOX_BASE_WORKING_DIR="/workspace/app-$port/sandboxes" \
        ${key:+SESSION_API_KEY="$key"} "$@" -- \
        /opt/app/bin/python -m uvicorn openhands.app_server.app:app --host 127.0.0.1 --port "$port" ;;
stop)      [ $# -eq 1 ] || usage; halt agent "$1" ;;
stop-app)  [ $# -eq 1 ] || usage; halt app "$1" ;;
status)
    [ $# -eq 1 ] || usage
    if pid=$(alive "$RUN/agent-$1.pid") || pid=$(alive "$RUN/app-$1.pid"); then echo "running pid=$pid"; else echo stopped; exit 3; fi ;;
umount)    do_umounts ;;
*)         usage ;;
esac

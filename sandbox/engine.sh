#!/usr/bin/env bash
# A private container engine for machines that have none running.
#
#   engine.sh start    use the engine that answers, else start a private one (root, Debian or Ubuntu)
#   engine.sh stop     stop the private engine that this script started
#   engine.sh bwrap    install bubblewrap unless it is there (root, Debian or Ubuntu)
#   engine.sh status   say which engine answers; exit 1 when none does
#
# The private engine has no bridge, no firewall rule, and its own process and mount namespace, so that
# nothing of it outlives it. Its socket is named in the file <cache>/engine/socket, where labwright
# looks when DOCKER_HOST is unset and the default socket is silent. Its images are kept across runs in
# $LABWRIGHT_ENGINE_DATA, or <cache>/engine/data.
set -euo pipefail

CACHE=${LABWRIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/labwright}
STATE=$CACHE/engine
DATA=${LABWRIGHT_ENGINE_DATA:-$STATE/data}
SOCKET_FILE=$STATE/socket
PID_FILE=$STATE/pid
LOG=$STATE/dockerd.log
READY_S=30

say() { printf 'engine: %s\n' "$*" >&2; }
fail() { say "$*"; exit 4; }

# Whether the engine behind a unix://path or another DOCKER_HOST address answers.
answers() {
  case $1 in
    unix://*)
      python3 - "${1#unix://}" <<'PY' 2>/dev/null
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.settimeout(3)
link.connect(sys.argv[1])
link.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
sys.exit(b" 200 " not in link.recv(64))
PY
      ;;
    *) command -v docker >/dev/null && timeout 10 docker --host "$1" version >/dev/null 2>&1 ;;
  esac
}

# Start time of a process, so that a recorded pid is never mistaken for a later process.
started_at() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# The recorded outer process, if it still is the one that was recorded.
recorded_pid() {
  local pid start
  [[ -r $PID_FILE ]] || return 1
  read -r pid start <"$PID_FILE" || return 1
  [[ -n $start && $(started_at "$pid") == "$start" ]] && printf '%s\n' "$pid"
}

# Address of the engine that answers; nothing when none does.
current() {
  local host socket
  if [[ -n ${DOCKER_HOST:-} ]]; then
    answers "$DOCKER_HOST" && printf '%s\n' "$DOCKER_HOST"
    return
  fi
  # The order is that of sandbox/address.py, without Podman: while it fails the probe, a private engine is needed.
  for socket in /var/run/docker.sock "$HOME/.docker/run/docker.sock" ${XDG_RUNTIME_DIR:+"$XDG_RUNTIME_DIR/docker.sock"} \
    "$([[ -r $SOCKET_FILE ]] && cat "$SOCKET_FILE")"; do
    [[ -S $socket ]] || continue
    host=unix://$socket
    if answers "$host"; then printf '%s\n' "$host"; return; fi
  done
  return 1
}

install_bubblewrap() {
  command -v bwrap >/dev/null && return
  [[ -r /etc/debian_version ]] && ((EUID == 0)) ||
    fail "no bubblewrap here; install the packages bubblewrap, util-linux and libseccomp2"
  mkdir -p "$STATE"
  say "installing bubblewrap"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends bubblewrap util-linux libseccomp2; } >"$STATE/apt.log" 2>&1 ||
    { tail -n 20 "$STATE/apt.log" >&2; fail "apt-get install bubblewrap failed"; }
}

install_engine() {
  command -v dockerd >/dev/null && return
  [[ -r /etc/debian_version ]] ||
    fail "no container engine here; install Docker Engine 20.10 or newer and start it"
  say "installing docker.io (about 65 MB)"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y -qq --no-install-recommends docker.io; } >"$STATE/apt.log" 2>&1 ||
    { tail -n 20 "$STATE/apt.log" >&2; fail "apt-get install docker.io failed"; }
}

# What a killed engine leaves: its run folder and the container processes' empty cgroups.
clear_stale() {
  local run
  if [[ -r $SOCKET_FILE ]]; then
    run=$(dirname "$(<"$SOCKET_FILE")")
    [[ $run == /tmp/labwright-engine.* && -d $run ]] && rm -rf --one-file-system "$run"
  fi
  rm -f "$SOCKET_FILE" "$PID_FILE"
}

launch() {
  local run=$1
  # The lock's descriptor is closed for the daemon: it must not keep the lock of this script.
  setsid unshare --fork --pid --kill-child=KILL --mount --mount-proc --propagation slave \
    dockerd --host "unix://$run/docker.sock" --data-root "$DATA" --exec-root "$run/exec" \
    --pidfile "$run/dockerd.pid" --bridge=none --iptables=false --ip6tables=false \
    --ip-forward=false --ip-masq=false --userland-proxy=false \
    </dev/null >"$LOG" 2>&1 9>&- &
  printf '%s %s\n' "$!" "$(started_at "$!")" >"$PID_FILE"
}

wait_ready() {
  local socket=$1 deadline=$((SECONDS + READY_S))
  until [[ -S $socket ]] && answers "unix://$socket"; do
    if ((SECONDS >= deadline)) || ! recorded_pid >/dev/null; then
      tail -n 20 "$LOG" >&2
      stop_recorded
      fail "dockerd did not answer within $READY_S s; its log: $LOG"
    fi
    sleep 0.1
  done
}

start() {
  local host run
  if host=$(current); then say "using $host"; printf '%s\n' "$host"; return; fi
  [[ -z ${DOCKER_HOST:-} ]] ||
    fail "DOCKER_HOST is set but no engine answers there; unset it or start that engine"
  ((EUID == 0)) ||
    fail "no container engine answers; install Docker Engine and start it (on Debian or Ubuntu, root can run 'make engine')"
  mkdir -p "$STATE" "$DATA"
  exec 9>"$DATA.lock"
  flock -w 120 9 || fail "another start holds $DATA.lock"
  if host=$(current); then printf '%s\n' "$host"; return; fi
  install_engine
  stop_recorded
  run=$(mktemp -d /tmp/labwright-engine.XXXXXX)
  launch "$run"
  wait_ready "$run/docker.sock"
  printf '%s\n' "$run/docker.sock" >"$SOCKET_FILE"
  say "started, images in $DATA"
  printf 'unix://%s/docker.sock\n' "$run"
}

# Ends the recorded process and its child, and no other.
stop_recorded() {
  local outer inner
  if outer=$(recorded_pid); then
    inner=$(pgrep -P "$outer" || true)
    [[ -z $inner ]] || kill -TERM $inner 2>/dev/null || true
    for _ in $(seq 100); do recorded_pid >/dev/null || break; sleep 0.1; done
    if outer=$(recorded_pid); then kill -KILL "$outer" 2>/dev/null || true; fi
  fi
  clear_stale
}

case ${1:-start} in
  start) start ;;
  stop) stop_recorded; say "stopped" ;;
  bwrap) install_bubblewrap ;;
  status)
    if host=$(current); then printf '%s\n' "$host"; else say "none answers; run 'make engine'"; exit 1; fi
    ;;
  *) say "usage: engine.sh start|stop|bwrap|status"; exit 2 ;;
esac

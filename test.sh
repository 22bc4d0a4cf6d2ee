#!/usr/bin/env bash
# Runs all tests, and first installs the servers that they need: redis-server, and nginx and haproxy as backends. The
# tests with these two are skipped where they cannot be installed.
set -euo pipefail
cd "$(dirname "$0")"

# Asks before it uses sudo, if it has a terminal.
may_use_sudo() {
    if [ ! -t 0 ] || [ ! -t 2 ]; then
        return 0
    fi
    local answer
    read -r -p "The tests need ${missing[*]}. Install with sudo apt-get? [y/N] " answer
    case $answer in [yY]*) ;; *) return 1 ;; esac
}

install_missing() {
    command -v apt-get >/dev/null || return 1
    local as_root=
    if [ "$(id -u)" != 0 ]; then
        may_use_sudo || return 1
        as_root=sudo
    fi
    $as_root apt-get update -qq
    # Each test starts them on ports of its own, never as services.
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq "${missing[@]}"
}

# nginx and haproxy are not on the PATH of every user.
PATH=$PATH:/usr/sbin
missing=()
for program in redis-server nginx haproxy; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if [ "${#missing[@]}" -gt 0 ]; then
    install_missing || echo "Not installed: ${missing[*]}" >&2
fi
if ! command -v redis-server >/dev/null; then
    echo "The tests need redis-server, version 7 or newer: install it and run this again." >&2
    exit 1
fi

# Every row that a test names is explained.
unexplained=$(comm -23 \
    <(grep -rhoE --include='*.rs' '\b(CL|ED|FB|FW|HB|HC|JR|MF|MH|SD|SM|SV|TP|VA|XF|[HLSTWX])-[0-9]+' \
        benches examples layers src tests | sort -u) \
    <(grep -oE '^\| [A-Z]+-[0-9]+ \|' tests/ROWS.md | tr -d '| ' | sort -u))
if [ -n "$unexplained" ]; then
    echo "tests/ROWS.md does not explain these rows:" $unexplained >&2
    exit 1
fi

cargo test --workspace --all-features --locked

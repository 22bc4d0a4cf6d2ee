#!/usr/bin/env bash
# Runs all tests, and first installs what they need beside Rust: redis-server.
set -euo pipefail
cd "$(dirname "$0")"

# Asks before it uses sudo, if it has a terminal.
may_use_sudo() {
    if [ ! -t 0 ] || [ ! -t 2 ]; then
        return 0
    fi
    local answer
    read -r -p "The tests need redis-server. Install it with sudo apt-get? [y/N] " answer
    case $answer in [yY]*) ;; *) return 1 ;; esac
}

need_redis() {
    echo "The tests need redis-server, version 7 or newer: install it and run this again." >&2
    exit 1
}

if ! command -v redis-server >/dev/null; then
    command -v apt-get >/dev/null || need_redis
    as_root=
    if [ "$(id -u)" != 0 ]; then
        may_use_sudo || need_redis
        as_root=sudo
    fi
    $as_root apt-get update -qq
    # It is started by each test on a port of its own, never as a service.
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server
fi

cargo test --workspace --all-features --locked

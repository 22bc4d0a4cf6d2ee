#!/usr/bin/env bash
# Runs all tests, and first installs what they need beside Rust: redis-server.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v redis-server >/dev/null; then
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    if command -v apt-get >/dev/null; then
        $as_root apt-get update -qq
        # It is started by each test on a port of its own, never as a service.
        $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq redis-server
    else
        echo "The tests need redis-server, version 7 or newer: install it and run this again." >&2
        exit 1
    fi
fi

cargo test --workspace --all-features --locked

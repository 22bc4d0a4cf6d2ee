#!/usr/bin/env bash
# Ten minutes of mixed load on the gateway, whose backends are killed meanwhile. SOAK_SECONDS sets the time; with
# SOAK_GATEWAY it takes that program instead of building one. Status 1 if a call reached the wrong backend, or if the
# gateway keeps descriptors or memory afterwards; 77 without Linux or Python 3.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
    echo "skipped: $1"
    exit 77
}

[ -d /proc/self/fd ] || skip "descriptors and memory are read from /proc"
command -v python3 >/dev/null || skip "python3 is not installed"

gateway=${SOAK_GATEWAY:-}
if [ -z "$gateway" ]; then
    cargo build --quiet --locked --package bartizan-gateway
    gateway=${CARGO_TARGET_DIR:-target}/debug/bartizan-gateway
fi
exec python3 tests/soak/run.py "$gateway" "${SOAK_SECONDS:-600}"

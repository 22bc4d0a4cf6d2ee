#!/usr/bin/env bash
# Ten minutes of mixed load on the gateway, whose backends are killed during it. SOAK_SECONDS sets the time; with
# SOAK_GATEWAY it takes that program instead of building one. Status 1 if a call reached the wrong backend, or if the
# gateway keeps descriptors or memory afterwards; 77 without Linux or Python 3.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

[ -d /proc/self/fd ] || skip "descriptors and memory are read from /proc"
needs python3

gateway=${SOAK_GATEWAY:-}
if [ -z "$gateway" ]; then
    build_gateway
fi
exec python3 tests/soak/run.py "$gateway" "${SOAK_SECONDS:-600}"

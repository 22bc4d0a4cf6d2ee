#!/usr/bin/env bash
# Sessions and logins of the SDKs' own clients, through the gateway, at the SDKs' own servers. One line per check;
# fails if one does, and exits with 77 if something is missing that it needs. It installs the SDKs, which takes a minute
# the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."

for program in python3 node npm; do
    if ! command -v "$program" >/dev/null; then
        echo "skipped: the SDKs need $program"
        exit 77
    fi
done
if [ "$(node -p 'parseInt(process.versions.node)')" -lt 20 ]; then
    echo "skipped: the SDKs need Node 20 or newer"
    exit 77
fi

cargo build --quiet --locked --package bartizan-gateway
if ! tests/interop/install.sh; then
    echo "skipped: the SDKs cannot be installed"
    exit 77
fi
exec python3 tests/interop/run.py "${CARGO_TARGET_DIR:-target}/debug/bartizan-gateway" "$@"

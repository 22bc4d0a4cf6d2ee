#!/usr/bin/env bash
# Sessions and logins of the SDKs' own clients, through the gateway, at the SDKs' own servers. One line per check;
# fails if one does. By hand or nightly: it installs the SDKs, which takes a minute the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."

cargo build --quiet --locked --package bartizan-gateway
tests/interop/install.sh
exec python3 tests/interop/run.py "${CARGO_TARGET_DIR:-target}/debug/bartizan-gateway" "$@"

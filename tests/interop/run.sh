#!/usr/bin/env bash
# Sessions and logins of the SDKs' own clients, through the gateway, at the SDKs' own servers. One line per check;
# fails if one does, and exits with 77 if something is missing that it needs. It installs the SDKs, which takes a minute
# the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

needs python3 node npm
[ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] || skip "the SDKs need Node 20 or newer"
install tests/interop/install.sh || skip "the SDKs cannot be installed"

build_gateway
exec python3 tests/interop/run.py "$gateway" "$@"

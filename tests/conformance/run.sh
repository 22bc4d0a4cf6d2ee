#!/usr/bin/env bash
# The official conformance suite of MCP, against servers of two SDKs: directly, and through the gateway. Status 1 if a
# check fails through the gateway only; 77 if something that it needs cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

needs npm python3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bartizan-tests/conformance
if [ ! -e "$cache/.complete-1" ]; then
    rm -rf "$cache"
    mkdir -p "$cache"
    echo '{ "private": true, "type": "module" }' >"$cache/package.json"
    # The suite needs Node 22: the package `node` installs its binary with a script.
    install npm install --prefix "$cache" --silent --no-audit --no-fund --save-exact \
        @modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/sdk@1.32.2 express@5 node@22 ||
        skip "the suite cannot be installed from npm"
    touch "$cache/.complete-1"
fi
"$cache/node_modules/node/bin/node" --version >/dev/null 2>&1 || skip "Node 22 does not run here"

build_gateway
cargo build --quiet --locked --package bartizan-testkit --example everything
exec python3 tests/conformance/run.py "$cache" "$target/debug" "$@"

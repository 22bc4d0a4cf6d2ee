#!/usr/bin/env bash
# Pages in Chromium, in front of the gateway. One line per check; status 1 if one fails, 77 if something that the tests
# need cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

needs npm python3
if ! command -v chromium >/dev/null; then
    { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || skip "chromium is not installed"
    { install apt-get update -qq && DEBIAN_FRONTEND=noninteractive install apt-get install -y -qq --no-install-recommends chromium; } \
        >/dev/null || skip "chromium cannot be installed"
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bartizan-tests/browser
if [ ! -e "$cache/.complete-1" ]; then
    rm -rf "$cache"
    mkdir -p "$cache"
    echo '{ "private": true, "type": "module" }' >"$cache/package.json"
    # Of the inspector only the pages, which are built already: no dependencies.
    install npm install --prefix "$cache" --silent --no-audit --no-fund --save-exact \
        playwright-core@1.65.1 @modelcontextprotocol/sdk@1.32.2 esbuild@0.28.2 || skip "npm cannot install the clients"
    install npm pack --silent --pack-destination "$cache" @modelcontextprotocol/inspector-client@1.0.3 >/dev/null ||
        skip "npm cannot fetch the inspector"
    tar -xzf "$cache"/modelcontextprotocol-inspector-client-*.tgz -C "$cache"
    { python3 -m venv "$cache/fastmcp" &&
        install "$cache/fastmcp/bin/pip" install --quiet --disable-pip-version-check fastmcp==4.0.11; } ||
        skip "pip cannot install FastMCP"
    touch "$cache/.complete-1"
fi

build_gateway
# Node looks for packages relative to the program.
cp tests/browser/run.mjs tests/browser/client.mjs "$cache"
exec node "$cache/run.mjs" "$gateway" \
    "$cache/fastmcp/bin/python" tests/browser/counter.py "$cache"

#!/usr/bin/env bash
# Installs the SDKs' own servers and clients, in pinned versions, into the git-ignored folder `installed`.
# What is there already is left as it is.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p installed

venv() {
    local folder=installed/$1
    shift
    [ -e "$folder/.complete" ] && return
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
    touch "$folder/.complete"
}

npm_folder() {
    local folder=installed/$1
    shift
    [ -e "$folder/.complete" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    echo '{ "private": true, "type": "module" }' >"$folder/package.json"
    npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts --save-exact "$@"
    touch "$folder/.complete"
}

# At the same time: each waits for its registry most of the time.
pids=()
venv python-v1 mcp==1.30.0 &
pids+=($!)
venv python-v2 mcp==2.3.0 &
pids+=($!)
venv fastmcp fastmcp==4.0.11 &
pids+=($!)
npm_folder typescript-v1 @modelcontextprotocol/sdk@1.32.2 express@5 &
pids+=($!)
npm_folder typescript-v2 @modelcontextprotocol/{server,client}@2.4.0 @modelcontextprotocol/node@2.1.2 \
    @modelcontextprotocol/express@2.0.2 express@5 zod@4 &
pids+=($!)
for pid in "${pids[@]}"; do
    wait "$pid"
done

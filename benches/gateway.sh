#!/usr/bin/env bash
# Instructions per request of the gateway itself, with its default options: the difference between two
# runs of different length, counted by callgrind.
# usage: benches/gateway.sh [OPTION OF THE GATEWAY]...
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release --locked --package bartizan-benches --bin request
cargo build --quiet --release --locked --package bartizan-gateway
binaries=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -r "$work"' EXIT

"$binaries/request" backend >"$work/backend" &
until [ -s "$work/backend" ]; do sleep 0.1; done

count() {
    valgrind --tool=callgrind --callgrind-out-file="${CALLGRIND_OUT:-/dev/null}" \
        "$binaries/bartizan-gateway" --listen 127.0.0.1:0 --backend "http://$(cat "$work/backend")" "${@:2}" \
        >"$work/out" 2>"$work/err" &
    local gateway=$!
    local address=
    until [ -n "$address" ]; do
        sleep 0.1
        address=$(sed -n 's#.*listening on http://\([0-9.:]*\),.*#\1#p' "$work/out" "$work/err")
    done
    "$binaries/request" load "$address" "$1"
    kill -TERM "$gateway"
    wait "$gateway" || true
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$work/err"
}

short=$(count 1000 "$@")
long=$(count 3000 "$@")
echo "gateway $(((long - short) / 2000)) instructions"

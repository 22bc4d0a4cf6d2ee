#!/usr/bin/env bash
# Runs the gateway with what the image has: the binary and the libraries that it needs, on a read-only root, as user
# 65532. It has to pass the demonstration, serve, and pass its health check.
#   tests/deploy/image.sh BINARY
set -euo pipefail
gateway=$(realpath "$1")

inside=(bwrap --unshare-all --share-net --die-with-parent --uid 65532 --gid 65532 --clearenv --proc /proc
    --ro-bind "$gateway" /usr/local/bin/bartizan-gateway)
# "name => path (address)", and the loader, which has no arrow. All of them are in the base image.
while read -r library; do
    case $(basename "$library") in
        libc.so.6 | libm.so.6 | libgcc_s.so.1 | libpthread.so.0 | libdl.so.2 | librt.so.1 | ld-linux*) ;;
        *)
            echo "the image's base does not have $library" >&2
            exit 1
            ;;
    esac
    inside+=(--ro-bind "$(realpath "$library")" "$library")
done < <(ldd "$gateway" | grep -oE '/[^ ]+')
inside+=(--remount-ro /)

run() { "${inside[@]}" /usr/local/bin/bartizan-gateway "$@"; }

run demo --once >/dev/null

log=$(mktemp)
run counter --listen 127.0.0.1:0 >"$log" &
counter=$!
trap 'kill "$counter" ${serving:-} 2>/dev/null; wait; rm -f "$log" "$log.gateway"' EXIT
address_in() {
    for _ in $(seq 100); do
        grep -oE '127\.0\.0\.1:[0-9]+' "$1" | sed -n "$2p" | grep . && return
        sleep 0.1
    done
    echo "no address in $1" >&2
    return 1
}
backend=$(address_in "$log" 1)
run --listen 127.0.0.1:0 --admin 127.0.0.1:0 --backend "http://$backend" --drain-delay 0s >"$log.gateway" &
serving=$!
for _ in $(seq 100); do
    admin=$(grep -i admin "$log.gateway" | grep -oE '127\.0\.0\.1:[0-9]+' | tail -1 || true)
    [ -n "$admin" ] && run health --admin "$admin" >/dev/null && break
    sleep 0.1
done
run health --admin "$admin"
! run health --admin "$backend" >/dev/null

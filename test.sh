#!/usr/bin/env bash
# Runs the tests, by tier:
#
#   ./test.sh             all that needs Rust, a C compiler, make and redis-server, and nothing else
#   ./test.sh --peers     with other programs: nginx and haproxy as backends, the SDKs' own clients and servers, the
#                         official conformance suite, HTTP/2 frames by hand, what it is deployed with, and an earlier
#                         build of the gateway (Python, Node 20)
#   ./test.sh --browser   with a browser as client
#   ./test.sh --soak      under load for ten minutes
#
# Tiers can be combined; --base is the first. Each ends with what it skipped, and why.
set -euo pipefail
cd "$(dirname "$0")"

# nginx and haproxy are not on the PATH of every user.
PATH=$PATH:/usr/sbin
skipped=()

# Asks before it uses sudo, if it has a terminal.
may_use_sudo() {
    if [ ! -t 0 ] || [ ! -t 2 ]; then
        return 0
    fi
    local answer
    read -r -p "The tests need $*. Install with sudo apt-get? [y/N] " answer
    case $answer in [yY]*) ;; *) return 1 ;; esac
}

install_packages() {
    command -v apt-get >/dev/null || return 1
    local as_root=
    if [ "$(id -u)" != 0 ]; then
        may_use_sudo "$@" || return 1
        as_root=sudo
    fi
    $as_root apt-get update -qq
    # Each test starts them on ports of its own, never as services.
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq "$@"
}

# Installs the programs that are not there.
offer() {
    local program missing=()
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        install_packages "${missing[@]}" || echo "Not installed: ${missing[*]}" >&2
    fi
}

# Runs tests/NAME/run.sh: 77 means that it was skipped, and its last line says why.
script() {
    local name=$1 status=0 output
    if [ ! -x "tests/$name/run.sh" ]; then
        skipped+=("$name: there is no tests/$name/run.sh")
        return
    fi
    echo "== tests/$name/run.sh"
    output=$(mktemp)
    "tests/$name/run.sh" 2>&1 | tee "$output" || status=$?
    if [ "$status" = 77 ]; then
        skipped+=("$name: $(tail -n 1 "$output")")
    elif [ "$status" != 0 ]; then
        rm "$output"
        exit "$status"
    fi
    rm "$output"
}

base() {
    offer redis-server
    if ! command -v redis-server >/dev/null; then
        echo "The tests need redis-server, version 7 or newer: install it and run this again." >&2
        exit 1
    fi
    # Every row that a test names is explained.
    local unexplained program
    unexplained=$(comm -23 \
        <(grep -rhoE --include='*.rs' '\b(CL|ED|FB|FW|HB|HC|JR|MF|MH|SD|SM|SV|TP|VA|XF|[HLSTWX])-[0-9]+' \
            benches examples layers src tests | sort -u) \
        <(grep -oE '^\| [A-Z]+-[0-9]+ \|' tests/ROWS.md | tr -d '| ' | sort -u))
    if [ -n "$unexplained" ]; then
        echo "tests/ROWS.md does not explain these rows:" $unexplained >&2
        exit 1
    fi
    cargo test --workspace --all-features --locked
    for program in nginx haproxy; do
        command -v "$program" >/dev/null || skipped+=("$program as a backend: not installed")
    done
}

peers() {
    local program
    offer nginx haproxy prometheus
    for program in nginx haproxy; do
        command -v "$program" >/dev/null || skipped+=("$program as a backend: not installed")
    done
    cargo test --package bartizan-upstream --all-features --locked --test peers
    script interop
    script conformance
    script h2spec
    script deploy
    script metrics
    script compat
}

browser() {
    script browser
}

soak() {
    script soak
}

tiers=("$@")
[ "$#" -gt 0 ] || tiers=(--base)
for tier in "${tiers[@]}"; do
    case $tier in
    --base | --peers | --browser | --soak) ;;
    *)
        echo "usage: ./test.sh [--base] [--peers] [--browser] [--soak]" >&2
        exit 2
        ;;
    esac
done
for tier in "${tiers[@]}"; do
    "${tier#--}"
done
for tier in base peers browser soak; do
    [[ " ${tiers[*]} " == *" --$tier "* ]] || skipped+=("--$tier: not asked for")
done
echo "No test failed: ${tiers[*]}"
for reason in "${skipped[@]}"; do
    echo "skipped: $reason"
done

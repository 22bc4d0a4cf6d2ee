#!/usr/bin/env bash
# Instructions per request of each case of a benchmark program: the difference between two runs of
# different length, counted by callgrind, so that starting up does not count.
# Cases that a program drives by processes of its own are counted without these.
# usage: benches/instructions.sh PROGRAM CASE...
set -euo pipefail
cd "$(dirname "$0")/.."

program=$1
shift
cargo build --quiet --release --locked --package bartizan-benches --bin "$program"
binary=${CARGO_TARGET_DIR:-target}/release/$program

# glibc keeps small freed chunks apart and merges all of them when a large one is allocated. Whether there are any
# depends on what the start of the program left, and that is worth 300 instructions per request.
export GLIBC_TUNABLES=glibc.malloc.mxfast=0

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

for case in "$@"; do
    short=$(count "$case" 1000)
    long=$(count "$case" 3000)
    printf '%-22s %6d instructions\n' "$case" $(((long - short) / 2000))
done

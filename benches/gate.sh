#!/usr/bin/env bash
# Fails if a layer, or all of them together, cost over 3 % more instructions than benches/baseline.txt says:
# around a service that does nothing, without sockets, so that the counts repeat.
# Fails, too, if the whole stack allocates on the way of a live session.
# With --write, writes the baseline anew.
set -euo pipefail
cd "$(dirname "$0")/.."

cases=(forwarded hops session pin stack)
baseline=benches/baseline.txt
declare -A counts
while read -r case count _; do
    counts[$case]=$count
done < <(benches/instructions.sh guards nothing "${cases[@]}")

if [ "${1:-}" = --write ]; then
    for case in "${cases[@]}"; do
        echo "$case $((counts[$case] - counts[nothing]))"
    done >"$baseline"
fi

failed=0
while read -r case allowed; do
    cost=$((counts[$case] - counts[nothing]))
    verdict=ok
    if [ $((cost * 100)) -gt $((allowed * 103)) ]; then
        verdict="TOO MUCH"
        failed=1
    fi
    printf '%-10s %6d instructions, baseline %6d: %s\n' "$case" "$cost" "$allowed" "$verdict"
done <"$baseline"
cargo run --quiet --release --locked --package bartizan-benches --bin allocations | grep "^stack " || failed=1
exit $failed

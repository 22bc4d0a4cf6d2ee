#!/usr/bin/env bash
# Fails if a request costs over 3 % more instructions than benches/baseline.txt says:
# - a layer, or all of them together, around a service that does nothing, without sockets, so that the
#   counts repeat;
# - a proxy over real sockets, in thousandths of the bare hyper-util forwarder.
# Fails, too, if the whole stack allocates on the way of a live session.
# With --write, writes a new baseline.
set -euo pipefail
cd "$(dirname "$0")/.."

layers=(forwarded hops origin session pin streams edge stack stack-observed)
proxies=(upstream stack stack-hyper)
baseline=benches/baseline.txt
declare -A costs

measure() {
    local -A counts
    while read -r case count _; do
        counts[$case]=$count
    done < <(benches/instructions.sh guards nothing "${layers[@]}")
    for case in "${layers[@]}"; do
        costs[$case]=$((counts[$case] - counts[nothing]))
    done
    while read -r case count _; do
        counts[proxy-$case]=$count
    done < <(benches/instructions.sh request floor "${proxies[@]}")
    for case in "${proxies[@]}"; do
        costs[proxy-$case]=$((counts[proxy-$case] * 1000 / counts[proxy-floor]))
    done
}

measure
if [ "${1:-}" = --write ]; then
    for case in "${layers[@]}" "${proxies[@]/#/proxy-}"; do
        echo "$case ${costs[$case]}"
    done >"$baseline"
fi

failed=0
while read -r case allowed; do
    cost=${costs[$case]}
    verdict=ok
    if [ $((cost * 100)) -gt $((allowed * 103)) ]; then
        verdict="TOO MUCH"
        failed=1
    fi
    printf '%-18s %6d, baseline %6d: %s\n' "$case" "$cost" "$allowed" "$verdict"
done <"$baseline"
cargo run --quiet --release --locked --package bartizan-benches --bin allocations | grep "^stack " || failed=1
exit $failed

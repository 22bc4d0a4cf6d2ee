#!/usr/bin/env bash
# Two builds of the gateway on one Redis, as in a rolling deploy: each serves, moves on and ends what the other opened.
#
#   tests/compat/run.sh [COMMIT]      the other build; default: the release before this one's layout had vectors
#
# It builds the gateway twice. Prints what was called and lost; status 1 if anything was lost, 77 if redis-server or the
# other commit is missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh
other=${1:-3af2929}
needs redis-server
git cat-file -e "$other^{commit}" 2>/dev/null || skip "commit $other is not in this clone"
work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT

git worktree add --quiet --detach "$work/tree" "$other"
# Dependencies are the same: the target directory is shared, and the program copied from it.
(cd "$work/tree" && CARGO_TARGET_DIR=$target cargo build --quiet --locked -p bartizan-gateway)
cp "$target/debug/bartizan-gateway" "$work/other-gateway"

BARTIZAN_OTHER_GATEWAY="$work/other-gateway" \
    cargo test --quiet --locked -p bartizan-gateway --test gateway -- --ignored --nocapture compat

#!/usr/bin/env bash
# Two builds of the gateway on one Redis, as in a rolling deploy: each serves, moves on and ends what the other opened.
#
#   tests/compat/run.sh [COMMIT]      the other build; default: the release before this one's layout had vectors
#
# It builds the gateway twice. Needs redis-server, and exits with 77 if the other commit is not there. Prints what was called and lost; its status is 0 if
# nothing was.
set -euo pipefail
cd "$(dirname "$0")/../.."
other=${1:-3af2929}
if ! git cat-file -e "$other^{commit}" 2>/dev/null; then
    echo "skipped: commit $other is not in this clone"
    exit 77
fi
work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT

git worktree add --quiet --detach "$work/tree" "$other"
# Dependencies are the same: the target directory is shared, and the program copied from it.
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
(cd "$work/tree" && CARGO_TARGET_DIR=$target cargo build --quiet --locked -p bartizan-gateway)
cp "$target/debug/bartizan-gateway" "$work/other-gateway"

BARTIZAN_OTHER_GATEWAY="$work/other-gateway" \
    cargo test --quiet --locked -p bartizan-gateway --test gateway -- --ignored --nocapture compat

#!/usr/bin/env bash
# Runs all tests, and first installs what they need beside Rust: nothing so far.
set -euo pipefail
cd "$(dirname "$0")"

cargo test --workspace --all-features --locked

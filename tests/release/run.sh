#!/usr/bin/env bash
# A rehearsal of the release: packs all crates, makes a registry of them, and follows the README and the guide's page on
# axum as a new user would. Exits with 77 if something is missing that it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! python3 -c 'import tarfile; tarfile.data_filter' 2>/dev/null; then
    echo "skipped: the rehearsal needs Python 3.11.4 or newer"
    exit 77
fi
exec python3 tests/release/rehearse.py

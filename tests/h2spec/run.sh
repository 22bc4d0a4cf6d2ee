#!/usr/bin/env bash
# The cases of h2spec, and some of the gateway's own, against its listener. Prints a table; status 1 if a case is not
# answered as expected, 77 if something that it needs cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

needs python3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bartizan-tests/h2spec
if [ ! -e "$cache/.complete-1" ]; then
    rm -rf "$cache"
    mkdir -p "$cache"
    { python3 -m venv "$cache" && install "$cache/bin/pip" install --quiet --disable-pip-version-check h2==4.4.1; } ||
        skip "pip cannot install h2"
    touch "$cache/.complete-1"
fi

build_gateway
exec "$cache/bin/python" tests/h2spec/run.py "$gateway" "$@"

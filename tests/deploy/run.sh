#!/usr/bin/env bash
# Checks the files in examples/gateway/deploy: the manifests, the Compose file, the systemd unit, what the image holds,
# completions and the man page. Checks whose program is missing are skipped; then the status is 77.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
skipped=()
has() { command -v "$1" >/dev/null || { skipped+=("$2: no $1"); return 1; }; }
says_nothing() { [ -z "$1" ] || { echo "$1" >&2; return 1; }; }

build_gateway
deploy=examples/gateway/deploy

# Completions and the man page.
"$gateway" completions bash >"$scratch/completions"
bash -n "$scratch/completions"
"$gateway" man >"$scratch/gateway.1"
grep -q 'max\\-sessions' "$scratch/gateway.1"
if has man "man page"; then
    # Warnings go to standard error.
    says_nothing "$(MANWIDTH=100 man --warnings=w -l "$scratch/gateway.1" 2>&1 >/dev/null)"
fi
echo "ok: completions, man page"

# The unit: valid, and with few rights.
if has systemd-analyze "systemd unit"; then
    unit=$scratch/bartizan-gateway.service
    sed "s|^ExecStart=.*|ExecStart=$(realpath "$gateway")|; /^Documentation=man/d" \
        "$deploy/systemd/bartizan-gateway.service" >"$unit"
    says_nothing "$(systemd-analyze verify "$unit" 2>&1 | grep -F "$(basename "$unit")" || true)"
    # In tenths: 2.0 at most.
    systemd-analyze security --offline=true --threshold=20 "$unit" >/dev/null
    echo "ok: systemd unit"
fi

# The manifests and the Compose file.
if python3 -c 'import yaml' 2>/dev/null; then
    if has kubectl "manifests"; then
        kubectl kustomize "$deploy/kustomize/base" >"$scratch/base.yaml"
        python3 tests/deploy/manifests.py "$scratch/base.yaml" "$gateway"
        echo "ok: manifests"
    fi
    python3 tests/deploy/compose.py "$deploy/compose.yaml" "$gateway"
    echo "ok: Compose file"
else
    skipped+=("manifests and Compose file: no PyYAML")
fi

# What the image holds: the binary and the libraries of its base, read-only, for a user without rights.
if has bwrap "image"; then
    # Many containers forbid user namespaces.
    if bwrap --unshare-all --ro-bind / / true 2>/dev/null; then
        timeout 120 tests/deploy/image.sh "$gateway"
        echo "ok: image"
    else
        skipped+=("image: bwrap may not make namespaces")
    fi
fi

[ "${#skipped[@]}" = 0 ] || skip "$(IFS=';'; echo "${skipped[*]}")"

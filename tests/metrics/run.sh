#!/usr/bin/env bash
# A real Prometheus scrapes a gateway under load: promtool finds nothing to say about the metrics and the alerts, no
# scrape fails, and each query of the alerts and of the dashboard has an answer. Takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/tier.sh

needs python3 prometheus promtool
python3 -c 'import yaml' 2>/dev/null || skip "no PyYAML"
build_gateway
promtool check rules examples/gateway/deploy/prometheus/alerts.yaml
exec timeout 300 python3 tests/metrics/run.py "$gateway" "$@"

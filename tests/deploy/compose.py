"""Checks what must hold in the Compose file: python3 compose.py FILE GATEWAY"""

import subprocess
import sys

import yaml

path, gateway = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    services = yaml.safe_load(file)["services"]

options = subprocess.run([gateway, "--help"], check=True, capture_output=True, text=True).stdout
gateways = [services["gateway-a"], services["gateway-b"]]
for each in gateways:
    for name in each["environment"]:
        assert f"[env: {name}" in options, f"{name} is no variable of the gateway"
    for backend in each["environment"]["BARTIZAN_BACKEND"].split(","):
        name, port = backend.removeprefix("http://").split(":")
        assert services[name]["command"][-1].endswith(f":{port}"), backend
    assert each["environment"]["BARTIZAN_STORE"].split("//")[1].split(":")[0] in services
    # Longer than the default of --shutdown-timeout.
    assert int(each["stop_grace_period"].removesuffix("s")) > 25
    assert each["read_only"] and each["cap_drop"] == ["ALL"]
assert gateways[0]["environment"] == gateways[1]["environment"]
assert gateways[0]["ports"] != gateways[1]["ports"]
assert "noeviction" in services["redis"]["command"]

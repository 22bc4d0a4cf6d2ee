"""Checks what must hold in the rendered manifests, whatever is patched: python3 manifests.py FILE GATEWAY"""

import re
import subprocess
import sys

import yaml

rendered, gateway = sys.argv[1:]
with open(rendered, encoding="utf-8") as file:
    objects = [each for each in yaml.safe_load_all(file) if each]


def named(kind, name=None):
    return [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def seconds(text):
    value, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(value) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def selects(selector, labels):
    return selector.items() <= labels.items()


settings = named("ConfigMap")[0]["data"]
options = subprocess.run([gateway, "--help"], check=True, capture_output=True, text=True).stdout
for name in settings:
    assert f"[env: {name}" in options, f"{name} is no variable of the gateway"

deployment = named("Deployment", "bartizan-gateway")[0]
pods = [each["spec"]["template"] for kind in ("Deployment", "StatefulSet") for each in named(kind)]

# A shutdown ends before Kubernetes kills the process, and load balancers have time to notice it.
shutdown, drain = seconds(settings["BARTIZAN_SHUTDOWN_TIMEOUT"]), seconds(settings["BARTIZAN_DRAIN_DELAY"])
grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
container = deployment["spec"]["template"]["spec"]["containers"][0]
probed_every = container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"]
assert grace > shutdown > drain > probed_every, (grace, shutdown, drain, probed_every)

# All replicas are one gateway, over one store.
assert settings["BARTIZAN_VIA"] and settings["BARTIZAN_STORE"].startswith("redis")
assert deployment["spec"]["replicas"] >= 2
assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0

# Each backend is a server of the StatefulSet, by its own name.
servers = named("StatefulSet", "mcp")[0]
service = named("Service", servers["spec"]["serviceName"])[0]["metadata"]["name"]
port = servers["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
expected = {f"http://mcp-{n}.{service}:{port}" for n in range(servers["spec"]["replicas"])}
assert set(settings["BARTIZAN_BACKEND"].split(",")) == expected, expected

# The admin listener answers probes, and is in no Service.
ports = {each["name"]: each["containerPort"] for each in container["ports"]}
for probe, path in (("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
    assert container[probe]["httpGet"] == {"path": path, "port": "admin"}
assert settings["BARTIZAN_ADMIN"].endswith(f":{ports['admin']}")
assert settings["BARTIZAN_LISTEN"].endswith(f":{ports['http']}")
for each in named("Service"):
    assert all(port["targetPort"] not in ("admin", ports["admin"]) for port in each["spec"]["ports"])

# Redis does not evict sessions to make room.
redis = named("StatefulSet", "redis")[0]["spec"]["template"]["spec"]["containers"][0]
assert "noeviction" in redis["args"]

for pod in pods:
    labels, spec = pod["metadata"]["labels"], pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
    for each in spec["containers"]:
        context = each["securityContext"]
        assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in each["resources"]["limits"]
    # A policy states who may connect to it.
    policies = [each["spec"]["podSelector"]["matchLabels"] for each in named("NetworkPolicy")]
    assert any(selects(policy, labels) for policy in policies), labels

# Every selector matches something.
everything = [pod["metadata"]["labels"] for pod in pods]
for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
    for each in named(kind):
        spec = each["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        selector = selector.get("matchLabels", selector)
        assert any(selects(selector, labels) for labels in everything), each["metadata"]

"""Runs the suite directly and through the gateway, and compares: run.py CACHE BUILT.

Prints a table per server and revision, and exits with 1 if a check fails through the gateway only, or does not run.
"""

import collections
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent.resolve()
CACHE, BUILT = (Path(argument).resolve() for argument in sys.argv[1:3])
# Version 1 of the TypeScript SDK does not know the later revision.
REVISIONS = {"rmcp": ["2025-11-25", "2026-07-28"], "typescript": ["2025-11-25"]}
NODE = CACHE / "node_modules/node/bin/node"
SUITE = CACHE / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
FIXTURES = HERE / "servers/everything.json"
# The gateway, with options that a client must not notice.
GATEWAYS = {"through": [], "minted ids": ["--mint-ids", "--on-lost=resume"]}
# A check that has a worse status than without the gateway fails.
ORDER = ["SUCCESS", "INFO", "SKIPPED", "WARNING", "FAILURE"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(running, logs, name, port, *command):
    log = running.enter_context(open(logs / f"{name}.log", "w"))
    process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    running.callback(lambda: (process.kill(), process.wait()))
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{name} does not listen:\n{(logs / f'{name}.log').read_text()}")


def server(running, logs, sdk, number):
    port = free_port()
    if sdk == "rmcp":
        program = [BUILT / "examples/everything"]
    else:
        # Node looks for packages relative to the program.
        program = [NODE, shutil.copy(HERE / "servers/everything.mjs", CACHE)]
    start(running, logs, f"{sdk}-{number}", port, *program, port, FIXTURES)
    return port


def suite(logs, name, port, revision):
    """Scenario -> check -> the worst status."""
    results = logs / f"{name}-{revision}"
    command = [NODE, SUITE, "server", "--url", f"http://127.0.0.1:{port}/mcp", "--suite", "all"]
    command += ["--spec-version", revision, "-o", results]
    with open(logs / f"{name}-{revision}.log", "w") as log:
        subprocess.run([str(part) for part in command], stdout=log, stderr=log, timeout=900)
    seen = {}
    for folder in results.glob("server-*"):
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT[-\d]+Z$", "", folder.name.removeprefix("server-"))
        checks = seen.setdefault(scenario, {})
        for check in json.loads((folder / "checks.json").read_text()):
            worst = max(checks.get(check["id"], "SUCCESS"), check["status"], key=rank)
            checks[check["id"]] = worst
    return seen


def rank(status):
    return ORDER.index(status) if status in ORDER else len(ORDER)


def brief(checks):
    if not checks:
        return "missing"
    counts = collections.Counter(checks.values())
    return ", ".join(f"{counts[status]} {status.lower()}" for status in sorted(counts, key=rank))


def compare(sdk, revision, direct, through):
    """Prints a row per scenario. Returns what is worse through the gateway."""
    width = max(map(len, direct), default=0)
    print(f"\n{sdk}, {revision}\n{'scenario':{width}}  {'direct':24}" + "".join(f"  {way:24}" for way in through))
    worse = []
    for scenario, checks in sorted(direct.items()):
        cells = [brief(checks)]
        for way, seen in through.items():
            seen = seen.get(scenario, {})
            bad = [check for check, status in checks.items() if rank(seen.get(check, "missing")) > rank(status)]
            bad += [check for check, status in seen.items() if check not in checks and rank(status) >= rank("WARNING")]
            worse += [f"{sdk}, {revision}, {way}: {scenario}: {check}" for check in bad]
            cells.append(("WORSE: " if bad else "") + brief(seen))
        print(f"{scenario:{width}}  " + "  ".join(f"{cell:24}" for cell in cells))
    return worse


def main():
    logs = Path(tempfile.mkdtemp(prefix="bartizan-conformance-"))
    worse, total = [], 0
    for sdk, revisions in REVISIONS.items():
        with ExitStack() as running:
            backends = [server(running, logs, sdk, number) for number in (1, 2)]
            ports = {"direct": backends[0]}
            for way, options in GATEWAYS.items():
                ports[way] = free_port()
                command = [BUILT / "bartizan-gateway", f"--listen=127.0.0.1:{ports[way]}", *options]
                command += [f"--backend=http://127.0.0.1:{port}" for port in backends]
                start(running, logs, f"gateway-{sdk}-{way}", ports[way], *command)
            for revision in revisions:
                seen = {way: suite(logs, f"{sdk}-{way}", port, revision) for way, port in ports.items()}
                direct = seen.pop("direct")
                if "dns-rebinding-protection" not in direct:
                    worse.append(f"{sdk}, {revision}: the suite did not run")
                total += sum(map(len, direct.values()))
                worse += compare(sdk, revision, direct, seen)
    print(f"\n{total} checks directly; worse through the gateway: {len(worse)}", *worse, sep="\n")
    if worse:
        print(f"logs: {logs}")
        return 1
    shutil.rmtree(logs)
    return 0


sys.exit(main())

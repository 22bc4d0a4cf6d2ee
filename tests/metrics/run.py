"""Starts two counter servers, a gateway and Prometheus: `run.py GATEWAY [SECONDS]`. See run.sh."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

DEPLOY = pathlib.Path("examples/gateway/deploy")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "metrics", "version": "0"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "increment", "arguments": {}}}

# Loopback only, whatever proxy the environment names.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url, body=None, session=None, method=None):
    """The status, the session id and the text of a response."""
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    if session:
        headers["mcp-session-id"] = session
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with opener.open(request, timeout=20) as response:
            return response.status, response.headers.get("mcp-session-id"), response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, None, error.read().decode()


class Program:
    """A process that ends with this one."""

    def __init__(self, *command, stderr=None):
        out = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=out, stderr=stderr, text=True)

    def line(self, pattern):
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found.group(1)
        raise SystemExit(f"{self.process.args[0]} ended before it said {pattern}")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def load(uri, until):
    """Sessions that are opened, used and ended, and requests that are refused."""
    endpoint = f"{uri}/mcp"
    while time.monotonic() < until:
        status, session, text = fetch(endpoint, INITIALIZE)
        assert status == 200, (status, text)
        fetch(endpoint, INITIALIZED, session)
        for _ in range(20):
            status, _, text = fetch(endpoint, CALL, session)
            assert status == 200, (status, text)
        assert fetch(endpoint, CALL, "unknown")[0] == 404
        assert fetch(endpoint, method="PUT")[0] == 405
        assert fetch(endpoint, method="DELETE", session=session)[0] < 300


def expressions():
    """The queries of the alerts and of the dashboard, with the variables of the latter filled in."""
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for panel in json.loads((DEPLOY / "grafana/bartizan.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*")


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main(gateway, seconds=30.0):
    programs, scratch = [], tempfile.TemporaryDirectory()

    def start(*command, **options):
        programs.append(Program(*command, **options))
        return programs[-1]

    try:
        servers = [start(gateway, "counter", "--listen", "127.0.0.1:0", "--log=error") for _ in range(2)]
        backends = [f"--backend={one.line(r'(http://[0-9.:]+)')}" for one in servers]
        proxy = start(
            gateway, *backends, "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--drain-delay=0s", "--log=error"
        )
        admin = proxy.line(r"admin on http://(\S+)")
        uri = proxy.line(r"listening on (http://[^,]+),")

        config = pathlib.Path(scratch.name, "prometheus.yml")
        rules = (DEPLOY / "prometheus/alerts.yaml").resolve()
        config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": [{"job_name": "bartizan", "static_configs": [{"targets": [admin]}]}],
                }
            )
        )
        subprocess.run(["promtool", "check", "config", str(config)], check=True, stdout=subprocess.DEVNULL)
        # Its port cannot be chosen by the system: the first that was free a moment ago, and still is.
        prometheus, query = None, None
        for _ in range(5):
            address = f"127.0.0.1:{free_port()}"
            prometheus = start(
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={scratch.name}/data",
                f"--web.listen-address={address}",
                stderr=subprocess.DEVNULL,
            )
            if is_ready(prometheus, address):
                query = lambda expr: ask(address, expr)
                break
        assert query, "Prometheus does not start"

        until = time.monotonic() + seconds
        clients = [threading.Thread(target=load, args=(uri, until)) for _ in range(4)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

        _, _, text = fetch(f"http://{admin}/metrics")
        linted = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        said = linted.stdout + linted.stderr
        assert linted.returncode == 0 and not said.strip(), said
        print(f"ok: promtool check metrics is silent on {len(text.splitlines())} lines")

        scrapes = float(query("count_over_time(up[5m])")[0]["value"][1])
        worked = float(query("sum_over_time(up[5m])")[0]["value"][1])
        assert scrapes == worked and scrapes > seconds / 4, (scrapes, worked)
        print(f"ok: Prometheus scraped {scrapes:.0f} times without an error")

        empty = []
        for expression in expressions():
            if not query(expression):
                empty.append(expression)
        # Nothing fails here, and sessions are in memory: what counts failures is empty, and so are alerts.
        wrong = [one for one in empty if not re.search(r"> |== |^absent|failures|bartizan_store", one)]
        assert not wrong, wrong
        print(f"ok: all {len(list(expressions()))} queries are valid, and {len(empty)} are empty as they must be")

        calls = 'sum(http_server_responses_total{http_response_status_code="200"})'
        assert float(query(calls)[0]["value"][1]) > 100
        refusals = query('bartizan_refusals_total{error_type="unknown_session"}')
        assert float(refusals[0]["value"][1]) > 0
        firing = query('ALERTS{alertstate="firing"}')
        assert not firing, firing
        print("ok: the load is counted, and no alert fires")
    finally:
        for program in reversed(programs):
            program.end()
        scratch.cleanup()


def is_ready(prometheus, address):
    for _ in range(100):
        if prometheus.process.poll() is not None:
            return False
        try:
            if fetch(f"http://{address}/-/ready")[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


def ask(address, expression):
    query = urllib.parse.urlencode({"query": expression})
    status, _, text = fetch(f"http://{address}/api/v1/query?{query}")
    assert status == 200, (expression, text)
    return json.loads(text)["data"]["result"]


main(sys.argv[1], *map(float, sys.argv[2:]))

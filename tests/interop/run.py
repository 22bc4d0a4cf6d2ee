"""Runs the SDKs' own servers behind the gateway, and their own clients in front of it: run.py GATEWAY [WORD...].

Prints a line per check, and exits with 1 if one failed. With words, only those parts run whose name has one of them.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

HERE = Path(__file__).parent.resolve()
INSTALLED = HERE / "installed"
GATEWAY = str(Path(sys.argv[1]).resolve())
LOGS = INSTALLED / "logs"
MCP = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
failures = 0


def check(part, what, holds, seen=""):
    global failures
    failures += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {part}: {what}{'' if holds else f' (seen: {seen})'}", flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A process that listens, and ends with its `with` block."""

    def __init__(self, name, port, command):
        self.name, self.port, self.command = name, port, [str(part) for part in command]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        with open(LOGS / f"{self.name}.log", "a") as log:
            environment = os.environ | {"NO_COLOR": "1", "FASTMCP_CHECK_FOR_UPDATES": "off"}
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment)
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen: see {LOGS / self.name}.log")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Client:
    """A client of one of the SDKs, in a process of its own."""

    def __init__(self, sdk, url, *arguments):
        typescript = sdk.startswith("typescript")
        program = ["node", HERE / "clients/client.mjs"] if typescript else [python(sdk), HERE / "clients/client.py"]
        self.log = open(LOGS / f"client-{sdk}.log", "a")
        command = [str(part) for part in [*program, sdk, url, *arguments]]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def do(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else {"error": "the client has ended"}


def python(sdk):
    return INSTALLED / sdk / "bin/python"


def counter(sdk, port, *arguments):
    if sdk.startswith("typescript"):
        program = f"{sdk.replace('-', '_')}.mjs"
        # Node looks for packages relative to the program.
        shutil.copy(HERE / "servers" / program, INSTALLED / sdk)
        return Process(f"server-{sdk}", port, ["node", INSTALLED / sdk / program, port, *arguments])
    return Process(f"server-{sdk}", port, [python(sdk), HERE / "servers/counter.py", sdk, port])


def gateway(port, backends, *options):
    backends = [f"--backend=http://127.0.0.1:{backend}" for backend in backends]
    command = [GATEWAY, f"--listen=127.0.0.1:{port}", *backends, *options]
    return Process("gateway", port, command)


def request(port, method, path, headers=None, body=None):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    # A stream need not end.
    text = "" if response.headers.get_content_type() == "text/event-stream" else response.read().decode()
    connection.close()
    return response.status, text


def post(port, session, method, params=None):
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
    return request(port, "POST", "/mcp", MCP | {"mcp-session-id": session}, json.dumps(message))


def sessions(sdk):
    """What ends a session at a server of `sdk`, and what does not."""
    part = f"sessions {sdk}"
    backend, front = free_port(), free_port()
    with ExitStack() as running:
        server = running.enter_context(counter(sdk, backend))
        running.enter_context(gateway(front, [backend]))
        client = running.enter_context(Client(sdk, f"http://127.0.0.1:{front}/mcp"))
        session = client.do("open").get("session")
        check(part, "the client opens a session", bool(session), session)
        if not session:
            return
        counted = 1
        first = client.do("call increment")
        check(part, "a call", first.get("value") == "1", first)

        def lives(after, seen):
            nonlocal counted
            counted += 1
            again = client.do("call increment")
            check(part, f"the session lives after {after}", again.get("value") == str(counted), (seen, again))

        for path in ("/favicon.ico", "/.well-known/oauth-protected-resource"):
            lives(f"GET {path}", request(front, "GET", path))
            lives(f"GET {path} with its id", request(front, "GET", path, {"mcp-session-id": session}))
        lives("an unknown tool", client.do("call no-such-tool"))
        lives("an unknown method", post(front, session, "no/such/method"))

        server.stop()
        server.start()
        lost = client.do("call increment")
        check(part, "after a restart the client is told that its session is gone", "error" in lost, lost)
        server.stop()
        status, text = post(front, session, "tools/list")
        check(part, "its record is gone: 404 without the server", status == 404, (status, text))
        server.start()
        status, text = post(front, session, "tools/list")
        check(part, "and 404 with it", status == 404, (status, text))
        opened = client.do("open")
        again = client.do("call increment")
        check(part, "the client opens another", again.get("value") == "1", (opened, again))


def plain(sdk):
    """Requests that are not MCP's reach a server of `sdk`."""
    part = f"plain {sdk}"
    backend, front = free_port(), free_port()
    with counter(sdk, backend), gateway(front, [backend]):
        for method, path, body in [("GET", "/authorize?client_id=a", None), ("POST", "/token", "a=b"), ("PUT", "/x", "")]:
            form = {"content-type": "application/x-www-form-urlencoded"}
            direct, through = request(backend, method, path, form, body), request(front, method, path, form, body)
            check(part, f"{method} {path} is answered as by the server itself", direct == through, (direct, through))


def logins(server, sdk, count, *options):
    """Clients of `sdk` log in at `count` servers that share nothing."""
    part = f"login {sdk} at {server}, {count} backend{'s' * (count > 1)}"
    front, idp = free_port(), free_port()
    origin = f"http://127.0.0.1:{front}"
    with ExitStack() as running:
        backends = [free_port() for _ in range(count)]
        for port in backends:
            if server == "oauth-proxy":
                provider = f"http://127.0.0.1:{idp}"
                command = [python("fastmcp"), HERE / "servers/oauth_proxy.py", port, origin, provider]
                running.enter_context(Process("server-oauth-proxy", port, command))
            else:
                running.enter_context(counter(server, port, origin))
        provider = Process("identity-provider", idp, [sys.executable, HERE / "servers/identity_provider.py", idp])
        running.enter_context(provider)
        running.enter_context(gateway(front, backends, "--policy=round-robin", *options))
        status, _ = request(front, "POST", "/mcp", MCP, json.dumps(INITIALIZE))
        check(part, "without a token: 401", status == 401, status)
        # By chance, one login of several would succeed.
        seen = []
        for _ in range(1 if count == 1 else 4):
            with Client(sdk, f"{origin}/mcp", "login") as client:
                seen.append((client.do("open"), client.do("call increment"), client.do("call increment")))
        good = all("session" in opened and "value" in one and int(two.get("value", 0)) == int(one["value"]) + 1
                   for opened, one, two in seen)
        if count > 1 and not options:
            # The problem that --pin-oauth solves; if logins work without it, the checks with it
            # prove nothing.
            check(part, "without --pin-oauth, not all of 4 clients can log in", not good, seen)
        else:
            check(part, f"{len(seen)} of {len(seen)} clients log in, open a session and count", good, seen)


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}


def main():
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    sdks = ["python-v1", "python-v2", "fastmcp", "typescript-v1", "typescript-v2"]
    parts = {f"sessions {sdk}": (sessions, sdk) for sdk in sdks}
    parts |= {f"plain {sdk}": (plain, sdk) for sdk in ("python-v1", "typescript-v1")}
    for server in ("oauth-proxy", "typescript-v1"):
        for sdk in sdks:
            parts[f"login 1 {sdk} at {server}"] = (logins, server, sdk, 1)
            parts[f"login 2 {sdk} at {server}"] = (logins, server, sdk, 2, "--pin-oauth")
        parts[f"login unpinned at {server}"] = (logins, server, "typescript-v1", 2)
    words = sys.argv[2:]
    for name, (run, *arguments) in parts.items():
        if words and not any(word in name for word in words):
            continue
        try:
            run(*arguments)
        except Exception as error:
            check(name, "runs to its end", False, repr(error))
    print(f"{'FAILED' if failures else 'passed'}: {failures} failures; logs in {LOGS}")
    return 1 if failures else 0


sys.exit(main())

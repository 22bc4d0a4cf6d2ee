"""Does what a new user does: adds the crates as the pages say, pastes the program, builds and runs it.

The crates come from a registry on disk that holds what `cargo package` made, so that what is missing there fails here.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import counter  # noqa: E402
import registry  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALICE = {"authorization": "Bearer token-of-alice"}
PAGE = {"origin": "https://app.example"}


class Page:
    """A page with commands and a program."""

    def __init__(self, path):
        text = (ROOT / path).read_text()
        blocks = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.S | re.M)
        commands = [body for kind, body in blocks if kind == "console" and "cargo add" in body]
        self.commands = commands[0].splitlines()
        self.program = next(body for kind, body in blocks if kind == "rust")
        assert not re.search(r"^# ", self.program, re.M), f"{path} hides lines of its program"


class Program:
    """The program of a page, on a free port and in front of servers of ours."""

    def __init__(self, page, folder, environment):
        self.servers = [counter.start(), counter.start()]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        source, servers = page.program, list(self.servers)
        # A user would change only the addresses.
        source, replaced = re.subn(
            r"http://[\w.-]+:900\d", lambda _: f"http://127.0.0.1:{servers.pop().server_port}", source
        )
        assert replaced == 2 and "127.0.0.1:8080" in source
        (folder / "src/main.rs").write_text(source.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}"))
        run(["cargo", "build", "--offline"], folder, environment)
        built = pathlib.Path(environment["CARGO_TARGET_DIR"]) / "debug" / folder.name
        self.process = subprocess.Popen([built])
        for _ in range(100):
            try:
                self.connect().connect()
                return
            except OSError:
                try:
                    self.process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                break
        raise AssertionError("the program does not listen")

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method, path, fields, message=None):
        connection = self.connect()
        body = message and json.dumps(message)
        fields = {"content-type": "application/json", "accept": "application/json, text/event-stream"} | fields
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        response.text = response.read().decode()
        connection.close()
        return response

    def open(self, fields):
        parameters = {"protocolVersion": "2025-06-18", "capabilities": {}}
        parameters["clientInfo"] = {"name": "newcomer", "version": "0"}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": parameters}
        opened = self.ask("POST", "/mcp", fields, message)
        assert opened.status == 200, (opened.status, opened.text)
        return opened

    def call(self, session, fields):
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "increment"}}
        return self.ask("POST", "/mcp", fields | {"mcp-session-id": session}, message)

    def check_sessions(self, fields):
        """Each session counts on, at its own server."""
        sessions = [self.open(fields).headers["mcp-session-id"] for _ in range(6)]
        for count in range(1, 4):
            for session in sessions:
                answer = self.call(session, fields)
                assert json.loads(answer.text)["result"] == count, answer.text
        assert all(server.counts for server in self.servers), "both servers get sessions"
        assert self.call("guess", fields).status == 404
        return sessions

    def check_shutdown(self, session, fields):
        """SIGINT ends an open event stream, and the program."""
        stream = self.connect()
        fields = fields | {"accept": "text/event-stream", "mcp-session-id": session}
        stream.request("GET", "/mcp", headers=fields)
        response = stream.getresponse()
        assert response.status == 200 and response.readline() == b": here\n"
        self.process.send_signal(signal.SIGINT)
        try:
            response.read()
        except http.client.HTTPException:
            pass
        assert self.process.wait(30) == 0

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def check_readme(program):
    sessions = program.check_sessions({})
    program.check_shutdown(sessions[0], {})


def check_application(program):
    """Authentication, CORS and the own routes, as the page has them."""
    assert program.ask("GET", "/healthz", {}).text == "ok"
    for token in ({}, {"authorization": "Bearer guess"}):
        refused = program.ask("POST", "/mcp", token, {"jsonrpc": "2.0", "id": 0, "method": "initialize"})
        assert refused.status == 401 and refused.headers["www-authenticate"] == "Bearer"
    sessions = program.check_sessions(ALICE)
    opened = program.open(ALICE | PAGE)
    assert opened.headers["access-control-allow-origin"] == PAGE["origin"]
    assert "mcp-session-id" in opened.headers["access-control-expose-headers"]
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "mcp-session-id"}
    preflight = program.ask("OPTIONS", "/mcp", PAGE | asks)
    assert preflight.status == 200 and "mcp-session-id" in preflight.headers["access-control-allow-headers"]
    stranger = {"origin": "https://evil.example"}
    assert program.call(sessions[0], ALICE | stranger).status == 403
    assert program.call(sessions[0], {}).status == 401
    program.check_shutdown(sessions[0], ALICE)


def run(command, folder, environment):
    print("$", " ".join(command), flush=True)
    subprocess.run(command, cwd=folder, env=environment, check=True)


def main():
    os.chdir(ROOT)
    subprocess.run([".ci/package", "--allow-dirty"], check=True)
    target = pathlib.Path(registry.cargo_metadata("--no-deps", "--locked")["target_directory"])
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("registry", "unpacked", "home"):
            (folder / name).mkdir()
        crates = registry.build(folder / "registry", target / "package", folder / "unpacked")
        print(f"registry: {len(crates)} crates of ours, {len(list((folder / 'registry').glob('*.crate')))} in all")
        (folder / "home/config.toml").write_text(
            '[source.crates-io]\nreplace-with = "rehearsal"\n'
            f'[source.rehearsal]\nlocal-registry = "{folder / "registry"}"\n'
        )
        # Builds of other crates are kept for the next run. Ours are removed, because Cargo assumes that a version never
        # changes.
        for built in (target / "rehearsal").glob("debug/*/*bartizan*"):
            shutil.rmtree(built) if built.is_dir() else built.unlink()
        # A fresh CARGO_HOME.
        environment = os.environ | {
            "CARGO_HOME": str(folder / "home"),
            "CARGO_TARGET_DIR": str(target / "rehearsal"),
        }
        for name, path, check in (
            ("newcomer", "README.md", check_readme),
            ("application", "src/guide/axum.md", check_application),
        ):
            page = Page(path)
            run(["cargo", "new", "--quiet", "--vcs=none", name], folder, environment)
            for command in page.commands:
                run([*command.split(), "--quiet", "--offline"], folder / name, environment)
            program = Program(page, folder / name, environment)
            try:
                check(program)
            finally:
                program.end()
            print(f"ok: the program of {path} was added, built and run", flush=True)


main()

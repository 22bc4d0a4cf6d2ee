"""Runs the cases against the gateway: run.py GATEWAY [NUMBER...]. Prints a table; exits with 1 if one is not as expected."""

import collections
import http.server
import socket
import subprocess
import sys
import threading
import time

import cases
from wire import Connection


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(3)
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def do_POST(self):
        if "content-length" in self.headers:
            self.rfile.read(int(self.headers["content-length"]))
        else:
            while size := int(self.rfile.readline() or b"0", 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Known deviations: where they are seen, and why they are accepted.
KNOWN = {
    "8.1.2.1/3": "h2 drops the pseudo-header, and nothing of it is forwarded",
    "6.9.2/3": "h2 ends the stream instead of the connection",
}


def judge(number, seen, expected):
    """Whether `seen` is right: `yes`, `other code` for an error whose code is not the expected one, or `NO`."""
    verdict = "NO"
    for wanted in expected:
        scope, _, code = wanted.partition(" ")
        is_error = scope in ("connection", "stream")
        # An endpoint may end the connection for an error of a stream, and without GOAWAY.
        if seen == wanted or is_error and seen in (f"GOAWAY {code}", "closed") or scope == "stream" and seen == f"RST {code}":
            return "yes"
        if is_error and (seen.startswith("GOAWAY") or scope == "stream" and seen.startswith("RST")):
            verdict = "other code"
    return f"known: {KNOWN[number]}" if verdict == "NO" and number in KNOWN else verdict


def prefaces(port):
    """The two cases that do not begin with the exchange of settings."""
    seen = "SETTINGS" if Connection(port).closed is False else "closed"
    yield "3.5/1", "preface", ("SETTINGS",), "h2", seen
    connection = Connection(port, preface=b"INVALID CONNECTION PREFACE\r\n\r\n")
    connection.until(lambda _: False)
    answer = connection.buffer.split(b"\r\n")[0].decode("latin-1")
    seen = f"{answer}, {'closed' if connection.closed else 'open'}"
    # It is not HTTP/2, so HTTP/1.1 answers it.
    yield "3.5/2", "invalid preface", ("HTTP/1.1 400 Bad Request, closed", ", closed"), "hyper", seen


def main():
    backend = Server(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    port = free_port()
    command = [sys.argv[1], f"--listen=127.0.0.1:{port}", f"--backend=http://127.0.0.1:{backend.server_port}"]
    gateway = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        rows = list(prefaces(port))
        for number, text, expected, server, run in cases.ALL:
            if sys.argv[2:] and number not in sys.argv[2:]:
                continue
            connection = Connection(port)
            responds = "alive" not in expected and any(text.startswith(("response", "stream")) for text in expected)
            seen = run(connection) or connection.outcome(responds)
            connection.socket.close()
            rows.append((number, text, expected, server, seen))
        died = gateway.poll()
    finally:
        gateway.kill()
        gateway.wait()
    verdicts = collections.Counter()
    print("| case | what is sent | expected | seen | as expected | decided by |\n|---|---|---|---|---|---|")
    for number, text, expected, server, seen in rows:
        verdict = judge(number, seen, expected)
        verdicts[verdict.split(":")[0]] += 1
        print(f"| {number} | {text} | {' or '.join(expected)} | {seen} | {verdict} | {server} |")
    counts = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items())
    print(f"\n{len(rows)} cases: {counts}" + (f"; the gateway ended: {died}" if died is not None else ""))
    return 1 if verdicts["NO"] or died is not None else 0


sys.exit(main())

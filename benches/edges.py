#!/usr/bin/env python3
"""The cost of clients that do not read, are idle, or reset their requests: the gateway beside nginx and haproxy.

usage: benches/edges.py [--gateway PATH] [--hyper PATH] [--only NAME,...] [--rows NAME,...] [--json FILE]

Needs Linux, Python 3.9, nginx and haproxy; each that is missing is skipped. All of it on loopback, some ten minutes:

unread-http1   100 connections, each with a response of 5 MB that is not read: resident KB per response
unread-http2   the same as 100 streams of one connection, with windows of 16 MB, whose socket is not read
unread-stream  the same with windows of 64 KB that are never opened again, on a socket that is read
ended          after how many seconds such a connection, or stream, is ended (those of the rows above)
resets         requests that are reset after 5 ms, 200 a second for 5 s, to a backend that answers after 10 ms:
               new connections to the backend, per second; the client connects again when it is sent away
idle           250 HTTP/2 connections without a stream that answer PINGs: resident KB each, and after how many seconds
               they are closed
full           the same number at `ulimit -n 256`: after how many ms another client is answered
streams        200 and 1,000 clients, each with a GET whose response stays open, to an HTTP/2 backend (hyper, nginx,
               haproxy): how many of them get a response head within 10 s, and of 100 calls beside them, how many are
               answered in less than 10 ms. nginx 1.22 does not speak HTTP/2 to backends
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

RESPONSES = 100
BODY_BYTES = 5 * 1024 * 1024
PATIENCE = 75
# An allocator returns pages after some time (jemalloc: 10 s), so memory is measured after that.
PURGE = 15
CONFIG = {
    "nginx": """
daemon off;
master_process off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {dir};
    proxy_temp_path {dir};
    fastcgi_temp_path {dir};
    uwsgi_temp_path {dir};
    scgi_temp_path {dir};
    http2_max_concurrent_streams 128;
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 1024; }}
    server {{
        listen 127.0.0.1:{http1};
        listen 127.0.0.1:{http2} http2;
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
""",
    "haproxy": """
global
    nbthread 1
{maxconn}
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend http1
    bind 127.0.0.1:{http1}
    default_backend backend
frontend http2
    bind 127.0.0.1:{http2} proto h2
    default_backend backend
backend backend
    server backend 127.0.0.1:{backend} {protocol}
""",
}


def serve(port, accepted):
    """A backend: /large is large, /stream stays open, /now is answered at once, anything else after 10 ms."""

    async def respond(reader, writer):
        with accepted.get_lock():
            accepted.value += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b" /large" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BODY_BYTES)
                    for _ in range(BODY_BYTES // 65536):
                        writer.write(bytes(65536))
                        await writer.drain()
                elif b" /stream" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                    writer.write(b"transfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
                    await writer.drain()
                    await reader.read()
                    return
                else:
                    if b" /now" not in head:
                        await asyncio.sleep(0.01)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run():
        server = await asyncio.start_server(respond, "127.0.0.1", port, backlog=4096)
        async with server:
            await server.serve_forever()

    asyncio.run(run())


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Proxy:
    def __init__(self, name, program, backend, h2c=False, descriptors=None):
        self.dir = tempfile.mkdtemp()
        self.http1, self.http2 = free_port(), free_port()
        if name == "gateway":
            self.http2 = self.http1
            command = [program, "--listen", f"127.0.0.1:{self.http1}", "--backend"]
            command.append(f"{'h2c' if h2c else 'http'}://127.0.0.1:{backend}")
        else:
            file = os.path.join(self.dir, "config")
            with open(file, "w") as config:
                ports = {"backend": backend, "http1": self.http1, "http2": self.http2}
                # haproxy does not start if it may not have so many.
                maxconn = "" if descriptors else "    maxconn 4096"
                protocol = "proto h2" if h2c else ""
                config.write(CONFIG[name].format(dir=self.dir, maxconn=maxconn, protocol=protocol, **ports))
            command = [program, "-c", file] if name == "nginx" else [program, "-f", file]
        limit = lambda: descriptors and resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, preexec_fn=limit, **quiet)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.http1)).close()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(0.5)

    def resident_kb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.dir)


def connect(port, receive_bytes=4096):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def greeting(window):
    settings = frame(4, 0, 0, struct.pack(">HI", 4, window))
    connection_window = frame(8, 0, 0, struct.pack(">I", 2**31 - 1 - 65535))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + connection_window


def request(stream, path):
    fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")]
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields
    )
    return frame(1, 5, stream, block)


def read_frames(connection):
    """Frames until the connection ends, pings and settings answered."""
    buffer = b""
    while True:
        try:
            piece = connection.recv(65536)
        except OSError:
            return
        if not piece:
            return
        buffer += piece
        while len(buffer) >= 9:
            length = int.from_bytes(buffer[:3], "big")
            if len(buffer) < 9 + length:
                break
            kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
            payload, buffer = buffer[9 : 9 + length], buffer[9 + length :]
            try:
                if kind == 6 and not flags & 1:
                    connection.sendall(frame(6, 1, 0, payload))
                if kind == 4 and not flags & 1:
                    connection.sendall(frame(4, 1, 0))
            except OSError:
                return
            yield kind, stream


def is_ended(connection):
    """Whether the other side has closed, without reading anything: the state of the socket is not ESTABLISHED."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1


def settle(proxy, wait=0):
    """Resident memory when it does not grow any more, after `wait` seconds."""
    time.sleep(wait)
    last = proxy.resident_kb()
    for _ in range(20):
        time.sleep(0.5)
        now = proxy.resident_kb()
        if abs(now - last) < 64:
            return now
        last = now
    return last


def until(condition, begun, patience=PATIENCE):
    while time.monotonic() - begun < patience:
        if condition():
            return round(time.monotonic() - begun)
        time.sleep(0.25)
    return None


def unread_http1(proxy):
    # The same number of connections first, each with a response that is read: what stays is not counted.
    before = settle(proxy)
    begun = time.monotonic()
    connections = [connect(proxy.http1) for _ in range(RESPONSES)]
    for connection in connections:
        connection.sendall(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
    held = (settle(proxy, PURGE) - before) / RESPONSES
    # A client whose socket is full does not see the end of its connection, so the proxy's
    # descriptors are counted instead.
    descriptors = lambda: len(os.listdir(f"/proc/{proxy.process.pid}/fd"))
    ended = until(lambda: descriptors() < RESPONSES, begun)
    for connection in connections:
        connection.close()
    return held, ended


def unread_http2(proxy):
    before = settle(proxy)
    begun = time.monotonic()
    connection = connect(proxy.http2)
    connection.sendall(greeting(16 * 1024 * 1024))
    time.sleep(0.2)
    connection.sendall(b"".join(request(2 * n + 1, "/large") for n in range(RESPONSES)))
    held = (settle(proxy, PURGE) - before) / RESPONSES
    descriptors = lambda: len(os.listdir(f"/proc/{proxy.process.pid}/fd"))
    full = descriptors()
    ended = until(lambda: descriptors() < full - RESPONSES / 2, begun)
    connection.close()
    return held, ended


def unread_stream(proxy):
    before = settle(proxy)
    begun = time.monotonic()
    connection = connect(proxy.http2, 1 << 20)
    connection.sendall(greeting(65535))
    resets = []

    def read():
        for kind, stream in read_frames(connection):
            if kind in (3, 7):
                resets.append(stream)
        resets.append(None)

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.2)
    connection.sendall(b"".join(request(2 * n + 1, "/large") for n in range(RESPONSES)))
    held = (settle(proxy, PURGE) - before) / RESPONSES
    ended = until(lambda: resets, begun)
    connection.close()
    return held, ended


def resets(proxy, accepted):
    begun, before = time.monotonic(), accepted.value
    connection, reader, stream, away = None, None, 1, 0
    gone = threading.Event()

    def read(connection, gone):
        for kind, _ in read_frames(connection):
            if kind == 7:
                break
        gone.set()

    sent = 0
    while time.monotonic() - begun < 5:
        if connection is None or gone.is_set():
            away += connection is not None
            connection, stream, gone = connect(proxy.http2, 1 << 20), 1, threading.Event()
            connection.sendall(greeting(65535))
            threading.Thread(target=read, args=(connection, gone), daemon=True).start()
        try:
            connection.sendall(request(stream, "/"))
            time.sleep(0.005)
            connection.sendall(frame(3, 0, stream, struct.pack(">I", 8)))
            sent += 1
        except OSError:
            gone.set()
        stream += 2
    took = time.monotonic() - begun
    time.sleep(0.3)
    return {
        "requests_per_second": round(sent / took),
        "backend_connections_per_second": round((accepted.value - before) / took, 1),
        "sent_away": away,
    }


class Idle:
    """HTTP/2 connections without a stream, which answer what is asked of them."""

    def __init__(self, port, count):
        self.open, self.selector, self.stopped = [], selectors.DefaultSelector(), False
        for _ in range(count):
            connection = socket.socket()
            connection.settimeout(1)
            try:
                connection.connect(("127.0.0.1", port))
                connection.sendall(greeting(65535))
            except OSError:
                continue
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ)
            self.open.append(connection)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        buffers = {connection: b"" for connection in self.open}
        while not self.stopped and self.open:
            for key, _ in self.selector.select(0.2):
                connection = key.fileobj
                try:
                    piece = connection.recv(65536)
                except OSError:
                    piece = b""
                if not piece:
                    self.selector.unregister(connection)
                    self.open.remove(connection)
                    connection.close()
                    continue
                buffer = buffers[connection] + piece
                while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
                    length, kind, flags = int.from_bytes(buffer[:3], "big"), buffer[3], buffer[4]
                    payload, buffer = buffer[9 : 9 + length], buffer[9 + length :]
                    if kind in (4, 6) and not flags & 1:
                        try:
                            connection.sendall(frame(kind, 1, 0, payload if kind == 6 else b""))
                        except OSError:
                            pass
                buffers[connection] = buffer

    def close(self):
        self.stopped = True
        self.thread.join()
        for connection in self.open:
            connection.close()


def idle(proxy):
    before = settle(proxy)
    begun = time.monotonic()
    connections = Idle(proxy.http2, 250)
    held = (settle(proxy, PURGE) - before) / 250
    ended = until(lambda: len(connections.open) < 125, begun, 100)
    connections.close()
    return {"kb": round(held, 1), "ended_s": ended}


def call(connection):
    """Milliseconds until the response of /now, or nothing."""
    begun = time.monotonic()
    try:
        connection.sendall(b"GET /now HTTP/1.1\r\nhost: a\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n" if b"chunked" in received else b"\r\n\r\nok"):
            piece = connection.recv(4096)
            if not piece:
                return None
            received += piece
    except OSError:
        return None
    return (time.monotonic() - begun) * 1000 if b" 200 " in received[:16] else None


def full(proxy):
    connections = Idle(proxy.http2, 250)
    time.sleep(1)
    begun = time.monotonic()
    client = socket.create_connection(("127.0.0.1", proxy.http1), 5)
    answered = call(client) is not None
    took = (time.monotonic() - begun) * 1000
    client.close()
    connections.close()
    return round(took, 1) if answered else None


def streams(proxy, count):
    clients, heads = [], 0
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", proxy.http1), 5)
        client.sendall(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n")
        clients.append(client)
    until_all = time.monotonic() + 10
    for client in clients:
        client.settimeout(max(until_all - time.monotonic(), 0.001))
        try:
            heads += b" 200 " in client.recv(4096)[:16]
        except OSError:
            pass
    beside = socket.create_connection(("127.0.0.1", proxy.http1), 5)
    beside.settimeout(1)
    took = []
    for _ in range(100):
        milliseconds = call(beside)
        if milliseconds is None:
            beside.close()
            beside = socket.create_connection(("127.0.0.1", proxy.http1), 5)
            beside.settimeout(1)
        else:
            took.append(milliseconds)
        if time.monotonic() - until_all > 20:
            break
    for client in [*clients, beside]:
        client.close()
    fast = sum(milliseconds < 10 for milliseconds in took)
    return {"heads": heads, "calls": len(took), "below_10_ms": fast, "worst_ms": round(max(took), 1) if took else None}


def all_streams(name, program, programs, port):
    """To each HTTP/2 backend: hyper by itself, nginx and haproxy in front of the backend of the other rows."""
    result = {}
    for kind in ("hyper", "nginx", "haproxy"):
        if not programs[kind]:
            continue
        if kind == "hyper":
            backend_port = free_port()
            backend = subprocess.Popen([programs[kind], str(backend_port)])
            stop = lambda: (backend.kill(), backend.wait())
        else:
            backend = Proxy(kind, programs[kind], port)
            backend_port, stop = backend.http2, backend.stop
        for count in (200, 1000):
            time.sleep(0.5)
            proxy = Proxy(name, program, backend_port, h2c=True)
            result[f"{kind}-{count}"] = streams(proxy, count)
            proxy.stop()
        stop()
    return result


def measure(name, program, programs, rows):
    accepted = multiprocessing.Value("i", 0)
    port = free_port()
    backend = multiprocessing.Process(target=serve, args=(port, accepted), daemon=True)
    backend.start()
    result = {}
    try:
        for row, case in [("http1", unread_http1), ("http2", unread_http2), ("stream", unread_stream)]:
            if "unread" not in rows:
                break
            proxy = Proxy(name, program, port)
            held, ended = case(proxy)
            result[f"unread-{row}-kb"], result[f"unread-{row}-ended-s"] = round(held, 1), ended
            proxy.stop()
        for row, case in [("resets", lambda proxy: resets(proxy, accepted)), ("idle", idle), ("full", full)]:
            if row in rows:
                proxy = Proxy(name, program, port, descriptors=256 if row == "full" else None)
                result[row] = case(proxy)
                proxy.stop()
        if "streams" in rows and name != "nginx":
            result["streams"] = all_streams(name, program, programs, port)
    finally:
        backend.terminate()
    return result


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gateway", default="target/release/bartizan-gateway")
    options.add_argument("--hyper", default="target/debug/examples/h2c", help="cargo build -p bartizan-testkit --example h2c")
    options.add_argument("--rows", default="unread,resets,idle,full,streams")
    options.add_argument("--only", default="gateway,nginx,haproxy")
    options.add_argument("--json")
    options = options.parse_args()
    programs = {
        "gateway": options.gateway,
        "hyper": options.hyper if os.path.exists(options.hyper) else None,
        "nginx": shutil.which("nginx") or shutil.which("/usr/sbin/nginx"),
        "haproxy": shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy"),
    }
    results = {}
    for name in options.only.split(","):
        if not programs[name]:
            print(f"{name}: not installed", file=sys.stderr)
            continue
        results[name] = measure(name, programs[name], programs, options.rows.split(","))
        print(name, json.dumps(results[name]))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()

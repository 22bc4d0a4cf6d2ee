#!/usr/bin/env python3
"""The cost of clients that do not read, or that reset their requests: the gateway beside nginx and haproxy.

usage: benches/edges.py [--gateway PATH] [--only NAME,...] [--json FILE]

Needs Linux, Python 3.9, nginx and haproxy; each that is missing is skipped. All of it on loopback, some five minutes:

unread-http1   100 connections, each with a response of 5 MB that is not read: resident KB per response
unread-http2   the same as 100 streams of one connection, with windows of 16 MB, whose socket is not read
unread-stream  the same with windows of 64 KB that are never opened again, on a socket that is read
ended          after how many seconds such a connection, or stream, is ended (those of the rows above)
resets         requests that are reset after 5 ms, 200 a second for 5 s, to a backend that answers after 10 ms:
               new connections to the backend, per second; the client connects again when it is sent away
"""

import argparse
import asyncio
import json
import multiprocessing
import os
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
# An allocator gives pages back after some time (jemalloc: 10 s): what is held is measured after that.
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
    maxconn 4096
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
    server backend 127.0.0.1:{backend}
""",
}


def serve(port, accepted):
    """A backend: /large is large, anything else is answered after 10 ms."""

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
                else:
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
    def __init__(self, name, program, backend):
        self.dir = tempfile.mkdtemp()
        self.http1, self.http2 = free_port(), free_port()
        if name == "gateway":
            self.http2 = self.http1
            command = [program, "--listen", f"127.0.0.1:{self.http1}", "--backend", f"http://127.0.0.1:{backend}"]
        else:
            file = os.path.join(self.dir, "config")
            with open(file, "w") as config:
                config.write(CONFIG[name].format(dir=self.dir, backend=backend, http1=self.http1, http2=self.http2))
            command = [program, "-c", file] if name == "nginx" else [program, "-f", file]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def until(condition, begun):
    while time.monotonic() - begun < PATIENCE:
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
    # A socket that is full does not see the end: the proxy has fewer descriptors then.
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


def measure(name, program):
    accepted = multiprocessing.Value("i", 0)
    port = free_port()
    backend = multiprocessing.Process(target=serve, args=(port, accepted), daemon=True)
    backend.start()
    result = {}
    try:
        for row, case in [("http1", unread_http1), ("http2", unread_http2), ("stream", unread_stream)]:
            proxy = Proxy(name, program, port)
            held, ended = case(proxy)
            result[f"unread-{row}-kb"], result[f"unread-{row}-ended-s"] = round(held, 1), ended
            proxy.stop()
        proxy = Proxy(name, program, port)
        result["resets"] = resets(proxy, accepted)
        proxy.stop()
    finally:
        backend.terminate()
    return result


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gateway", default="target/release/bartizan-gateway")
    options.add_argument("--only", default="gateway,nginx,haproxy")
    options.add_argument("--json")
    options = options.parse_args()
    programs = {
        "gateway": options.gateway,
        "nginx": shutil.which("nginx") or shutil.which("/usr/sbin/nginx"),
        "haproxy": shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy"),
    }
    results = {}
    for name in options.only.split(","):
        if not programs[name]:
            print(f"{name}: not installed", file=sys.stderr)
            continue
        results[name] = measure(name, programs[name])
        print(name, json.dumps(results[name]))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()

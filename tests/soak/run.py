"""Mixed load, kills, and what is left afterwards: run.py GATEWAY SECONDS. See README.md."""

import asyncio
import collections
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent.resolve()
GATEWAY, SECONDS = str(Path(sys.argv[1]).resolve()), float(sys.argv[2])
# After the load, within a minute: as many descriptors as before it, but for a few that the runtime opened, and as
# much memory as after a short load, but for what an allocator keeps.
SETTLE_SECONDS, MORE_DESCRIPTORS, MORE_MIB = 60, 8, 16
WARM_SECONDS = 10
BACKENDS = 3
WORKERS = {"caller": 24, "aborter": 6, "slow_reader": 8, "listener": 12, "resetter": 2}
seen = collections.Counter()
wrong = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Backend:
    def __init__(self, number):
        self.name, self.port, self.process = str(number), free_port(), None

    def start(self, output):
        command = [sys.executable, HERE / "backend.py", str(self.port), self.name]
        self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Connection:
    """HTTP/1.1, one request after the other."""

    def __init__(self, port, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.setblocking(False)
        self.port, self.buffer = port, b""

    async def __aenter__(self):
        await asyncio.get_running_loop().sock_connect(self.socket, ("127.0.0.1", self.port))
        return self

    async def __aexit__(self, *_):
        self.socket.close()

    def abort(self):
        """The next close is a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def send(self, method, session=None, body=b"", missing=0):
        fields = ["host: a", "accept: application/json, text/event-stream", "content-type: application/json"]
        if session:
            fields.append(f"mcp-session-id: {session}")
        if method != "GET":
            fields.append(f"content-length: {len(body) + missing}")
        head = f"{method} /mcp HTTP/1.1\r\n" + "\r\n".join(fields) + "\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(self.socket, head.encode() + body)

    async def receive(self):
        piece = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65536), 30)
        if not piece:
            raise ConnectionError("ended")
        return piece

    async def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += await self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        status = int(lines[0].split(" ")[1])
        seen[f"{status}"] += 1
        return status, fields

    async def response(self):
        status, fields = await self.head()
        length = int(fields.get("content-length", 0))
        while len(self.buffer) < length:
            self.buffer += await self.receive()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return status, fields, body


class Session:
    """What a client knows of its session: the server's name, and a count that only grows."""

    def __init__(self, id):
        self.id, self.server, self.count = id, id.split(".")[0], 0

    def check(self, text):
        counted = json.loads(text)
        if counted["server"] != self.server or counted["count"] <= self.count:
            wrong.append(f"session of {self.server} at {self.count} saw {counted}")
        self.count = counted["count"]
        seen["counted"] += 1


def call(kind=""):
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}' % kind.encode()


async def open_session(connection):
    await connection.send("POST", body=b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}')
    status, fields, _ = await connection.response()
    if status != 200 or "mcp-session-id" not in fields:
        raise ConnectionError(f"not opened: {status}")
    seen["sessions"] += 1
    return Session(fields["mcp-session-id"])


async def caller(port):
    async with Connection(port) as connection:
        session = await open_session(connection)
        for _ in range(random.randint(1, 200)):
            await connection.send("POST", session.id, call())
            status, _, body = await connection.response()
            if status != 200:
                # The session's server was killed: 502 or 503, then 404.
                await asyncio.sleep(0.2)
                if status == 404:
                    return
                continue
            session.check(body)
        await connection.send("DELETE", session.id)
        await connection.response()


async def aborter(port):
    async with Connection(port) as connection:
        session = await open_session(connection)
        body = call("slow")
        if random.random() < 0.3:
            await connection.send("POST", session.id, body[:20], missing=len(body) - 20)
        else:
            await connection.send("POST", session.id, body)
        await asyncio.sleep(random.uniform(0, 0.3))
        if random.random() < 0.5:
            connection.abort()
    async with Connection(port) as connection:
        await connection.send("DELETE", session.id)
        await connection.response()
    seen["aborted"] += 1


async def slow_reader(port):
    async with Connection(port, 4096) as connection:
        session = await open_session(connection)
        await connection.send("POST", session.id, call("large"))
        until = time.monotonic() + random.uniform(1, 15)
        while time.monotonic() < until:
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(connection.socket, 1024), 30)
            await asyncio.sleep(0.1)
    seen["slowly read"] += 1


async def listener(port):
    async with Connection(port) as connection:
        session = await open_session(connection)
        await connection.send("GET", session.id)
        status, _ = await connection.head()
        if status != 200:
            return
        text, until = connection.buffer, time.monotonic() + random.uniform(0.5, 10)
        while time.monotonic() < until:
            text += await connection.receive()
            *events, text = text.split(b"\n\n")
            for event in events:
                session.check(re.search(rb"\{.*\}", event).group())
        if random.random() < 0.5:
            connection.abort()
    async with Connection(port) as connection:
        await connection.send("DELETE", session.id)
        await connection.response()
    seen["listened"] += 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


async def resetter(port):
    """Calls over HTTP/2 that are reset before their response, until the gateway sends the client away."""
    async with Connection(port) as connection:
        session = await open_session(connection)
    async with Connection(port) as connection:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection.socket, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
        fields = {":method": "POST", ":scheme": "http", ":path": "/mcp", ":authority": "a", "mcp-session-id": session.id}
        block = b"".join(
            b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
            for name, value in fields.items()
        )

        async def read():
            while await loop.sock_recv(connection.socket, 65536):
                pass

        reading = asyncio.create_task(read())
        try:
            for stream in range(1, 800, 2):
                requested = frame(1, 4, stream, block) + frame(0, 1, stream, call("slow"))
                await loop.sock_sendall(connection.socket, requested)
                await asyncio.sleep(random.uniform(0, 0.02))
                await loop.sock_sendall(connection.socket, frame(3, 0, stream, struct.pack(">I", 8)))
                seen["reset"] += 1
                if reading.done():
                    break
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def repeat(work, port, until):
    while time.monotonic() < until:
        try:
            await asyncio.wait_for(work(port), 60)
        except (OSError, asyncio.TimeoutError) as error:
            # Killed backends end streams and connections; errors are in `wrong`.
            seen[f"{work.__name__}: {type(error).__name__}"] += 1
            await asyncio.sleep(0.1)


async def killer(backends, output, until):
    while time.monotonic() + 10 < until:
        await asyncio.sleep(random.uniform(3, 9))
        backend = random.choice(backends)
        if random.random() < 0.3:
            backend.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(random.uniform(0.5, 3))
            backend.process.send_signal(signal.SIGCONT)
            seen["stops"] += 1
        else:
            backend.kill()
            await asyncio.sleep(random.uniform(0, 8))
            backend.start(output)
            seen["kills"] += 1


class Gateway:
    def __init__(self, backends, log):
        self.port = free_port()
        command = [GATEWAY, f"--listen=127.0.0.1:{self.port}", "--idle=20s", "--shutdown-timeout=5s"]
        command += [f"--backend=http://127.0.0.1:{backend.port}" for backend in backends]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def mib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


async def load(gateway, backends, output, seconds):
    """Returns the most descriptors and memory that were seen."""
    until = time.monotonic() + seconds
    works = [globals()[name] for name, count in WORKERS.items() for _ in range(count)]
    tasks = [asyncio.create_task(repeat(work, gateway.port, until)) for work in works]
    tasks.append(asyncio.create_task(killer(backends, output, until)))
    most, shown = (0, 0), time.monotonic()
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.5)
        if gateway.process.poll() is not None:
            sys.exit(f"the gateway has ended: {gateway.process.returncode}")
        most = max(most[0], gateway.descriptors()), max(most[1], gateway.mib())
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            print(f"{max(until - shown, 0):4.0f} s left: {gateway.descriptors()} descriptors, {gateway.mib():.0f} MiB, "
                  f"{seen['counted']} counted, {seen['kills']} kills", flush=True)
    await asyncio.gather(*tasks)
    return most


async def settle(gateway, descriptors, mib):
    """The seconds until both are at most so many; None if they are not within the minute."""
    begun = time.monotonic()
    while (gateway.descriptors() > descriptors or gateway.mib() > mib) and time.monotonic() - begun < SETTLE_SECONDS:
        await asyncio.sleep(0.5)
    fits = gateway.descriptors() <= descriptors and gateway.mib() <= mib
    return time.monotonic() - begun if fits else None


async def listens(server):
    # A busy machine takes its time to start a dozen processes.
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
            return
        except OSError:
            if server.process.poll() is not None:
                sys.exit(f"{server.process.args[0]} ended with {server.process.returncode}")
            await asyncio.sleep(0.05)
    sys.exit(f"{server.process.args[0]} does not listen after a minute")


async def main():
    folder = Path(tempfile.mkdtemp(prefix="bartizan-soak-"))
    output, log = open(folder / "backends.log", "a"), open(folder / "gateway.log", "w")
    backends = [Backend(number) for number in range(BACKENDS)]
    gateway, failures = None, []
    try:
        for backend in backends:
            backend.start(output)
            await listens(backend)
        gateway = Gateway(backends, log)
        await listens(gateway)
        await asyncio.sleep(1)
        descriptors = gateway.descriptors() + MORE_DESCRIPTORS
        print(f"fresh: {gateway.descriptors()} descriptors, {gateway.mib():.1f} MiB", flush=True)
        await load(gateway, backends, output, WARM_SECONDS)
        await settle(gateway, descriptors, 0)
        mib = gateway.mib() + MORE_MIB
        print(f"after {WARM_SECONDS} s of load: {gateway.descriptors()} descriptors, {gateway.mib():.1f} MiB", flush=True)
        most = await load(gateway, backends, output, SECONDS)
        print(f"most: {most[0]} descriptors, {most[1]:.1f} MiB", flush=True)
        took = await settle(gateway, descriptors, mib)
        print(f"afterwards: {gateway.descriptors()} descriptors (at most {descriptors}), {gateway.mib():.1f} MiB "
              f"(at most {mib:.1f}), {'after %.1f s' % took if took is not None else 'not within a minute'}")
        if took is None:
            failures.append("descriptors or memory are not back")
        gateway.process.terminate()
        status = gateway.process.wait(timeout=20)
        if status != 0:
            failures.append(f"the gateway's status is {status}")
    finally:
        for backend in backends:
            if backend.process:
                backend.kill()
        if gateway and gateway.process.poll() is None:
            gateway.process.kill()
            gateway.process.wait()
    misroutes = (folder / "backends.log").read_text().splitlines()
    print(f"misroutes: {len(misroutes)}, wrong counts: {len(wrong)}", *misroutes[:5], *wrong[:5], sep="\n")
    failures += ["misroutes"] * bool(misroutes) + ["wrong counts"] * bool(wrong)
    if "panicked" in (folder / "gateway.log").read_text():
        failures.append("the gateway panicked")
    if not (seen["kills"] and seen["counted"] > SECONDS):
        failures.append("the load did not run")
    print(json.dumps(dict(sorted(seen.items()))))
    print(f"{'FAILED: ' + ', '.join(failures) if failures else 'passed'}; logs in {folder}")
    return 1 if failures else 0


sys.exit(asyncio.run(main()))

"""HTTP/2 frames, well formed or not, on a socket."""

import collections
import socket
import struct
import time

import hpack

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY, ACK = 1, 4, 8, 32, 1
ERRORS = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR "
    "REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED"
).split()
Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    return struct.pack(">I", len(payload) if length is None else length)[1:] + struct.pack(
        ">BBI", kind, flags, stream
    ) + payload


def literal(name, value):
    """Without indexing and without Huffman codes."""
    name, value = name.encode(), value.encode()
    return b"\0" + number(len(name), 7) + name + number(len(value), 7) + value


def number(value, bits):
    full = (1 << bits) - 1
    if value < full:
        return bytes([value])
    rest, value = b"", value - full
    while value >= 128:
        rest, value = rest + bytes([value % 128 + 128]), value // 128
    return bytes([full]) + rest + bytes([value])


def block(fields):
    return b"".join(literal(*field) for field in fields)


class Connection:
    """A connection after the exchange of settings."""

    def __init__(self, port, settings=b"", preface=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.decoder, self.frames, self.closed = b"", hpack.Decoder(), [], False
        self.authority = f"127.0.0.1:{port}"
        if preface.startswith(b"PRI"):
            self.send(preface + frame(SETTINGS, 0, 0, settings))
            self.until(lambda seen: seen.kind == SETTINGS and seen.flags & ACK)
            self.send(frame(SETTINGS, ACK))
            self.frames.clear()
        else:
            self.send(preface)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def until(self, condition, timeout=2):
        """Reads until a frame fulfills the condition, the connection ends, or the time is over."""
        until = time.monotonic() + timeout
        while not self.closed:
            while len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big"):
                length = int.from_bytes(self.buffer[:3], "big")
                kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                seen = Frame(kind, flags, stream & 0x7FFFFFFF, self.buffer[9 : 9 + length])
                self.buffer = self.buffer[9 + length :]
                self.frames.append(seen)
                if condition(seen):
                    return seen
            remaining = until - time.monotonic()
            if remaining <= 0:
                return None
            self.socket.settimeout(remaining)
            try:
                piece = self.socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                piece = b""
            self.closed = not piece
            self.buffer += piece
        return None

    def fields(self, method="GET", path="/", more=()):
        pseudo = {":method": method, ":scheme": "http", ":path": path, ":authority": self.authority}
        return [*pseudo.items(), *more]

    def request(self, stream=1, end=True, **kind):
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(HEADERS, flags, stream, block(self.fields(**kind))))

    def data(self, stream, timeout=2):
        """The next piece of a response's body."""
        seen = self.until(lambda seen: seen.kind == DATA and seen.stream == stream and seen.payload, timeout)
        return seen and len(seen.payload)

    def outcome(self, responds, timeout=5):
        """What the other side makes of it: an error, a response, or nothing but life. `responds`
        says whether a response or a reset is expected: on a busy machine it takes a while."""
        marker = b"outcome!"
        self.send(frame(PING, 0, 0, marker))
        if self.until(lambda seen: seen.kind == GOAWAY or seen.kind == PING and seen.payload == marker, timeout):
            patience = timeout if responds else 0.4
            self.until(lambda seen: seen.kind in (GOAWAY, RST_STREAM) or seen.kind == HEADERS, patience)
        found = [text for seen in self.frames if (text := self.name(seen))]
        for start in ("GOAWAY", "RST", "response"):
            for text in found:
                if text.startswith(start) and text != "GOAWAY NO_ERROR":
                    return text
        if self.closed:
            return "closed"
        return "alive" if any(seen.kind == PING and seen.flags & ACK for seen in self.frames) else "nothing"

    def name(self, seen):
        if seen.kind in (GOAWAY, RST_STREAM):
            code = int.from_bytes(seen.payload[4:8] if seen.kind == GOAWAY else seen.payload, "big")
            return f"{'GOAWAY' if seen.kind == GOAWAY else 'RST'} {ERRORS[code]}"
        if seen.kind == HEADERS:
            return "response " + dict(self.decoder.decode(seen.payload))[":status"]
        return None

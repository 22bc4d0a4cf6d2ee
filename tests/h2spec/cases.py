"""The cases: h2spec's, by its numbers, and the gateway's own. Each does something wrong, or unusual, on a connection.

A case that is listed with a server other than `h2` is decided by hyper or by the gateway, not by the h2 crate.
"""

import struct
import time

from wire import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, block, frame, literal,
)

ALL = []


def case(number, text, *expected, server="h2"):
    """`expected`: errors, as `connection CODE` or `stream CODE`; or outcomes as they are."""

    def add(run):
        ALL.append((number, text, expected, server, run))
        return run

    return add


def sends(number, text, expected, *frames, server="h2"):
    """A case that only sends frames."""
    expected = expected if isinstance(expected, tuple) else (expected,)

    @case(number, text, *expected, server=server)
    def run(c):
        for piece in frames:
            c.send(piece(c) if callable(piece) else piece)


def setting(name, value):
    return struct.pack(">HI", name, value)


def headers(stream=1, flags=END_HEADERS | END_STREAM, **kind):
    return lambda c: frame(HEADERS, flags, stream, block(c.fields(**kind)))


def malformed(number, text, change, server="h2"):
    """A request whose fields are `change`d."""

    @case(number, text, "stream PROTOCOL_ERROR", "response 400", server=server)
    def run(c):
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(change(c.fields()))))


def without(name):
    return lambda fields: [field for field in fields if field[0] != name]


def twice(name):
    return lambda fields: [field for field in fields for _ in range(1 + (field[0] == name))]


def post(*more):
    return headers(flags=END_HEADERS, method="POST", more=more)


def done(c):
    """A stream that both sides have ended."""
    c.request()
    c.until(lambda seen: seen.flags & END_STREAM and seen.stream == 1)
    c.frames.clear()


PROTOCOL, SIZE, CLOSED = "connection PROTOCOL_ERROR", "connection FRAME_SIZE_ERROR", "connection STREAM_CLOSED"
COMPRESSION, FLOW = "connection COMPRESSION_ERROR", "connection FLOW_CONTROL_ERROR"
ENDED = ("stream STREAM_CLOSED", CLOSED)
NOT_A_BLOCK = ("stream STREAM_CLOSED", CLOSED, PROTOCOL)
DEPENDS = struct.pack(">IB", 1, 255)

sends("4.1/1", "frame of an unknown type", "alive", frame(22, 0, 0, bytes(8)))
sends("4.1/2", "undefined flags", "alive", frame(PING, 22, 0, bytes(8)))
sends("4.1/3", "reserved bit of the stream id", "alive", frame(PING, 0, 1 << 31, bytes(8)))
sends("4.2/1", "DATA of 2^14 octets", "response 200", post(), frame(DATA, END_STREAM, 1, bytes(16384)))
sends("4.2/2", "DATA of more", ("stream FRAME_SIZE_ERROR", SIZE), post(), frame(DATA, END_STREAM, 1, bytes(16385)))
sends("4.2/3", "HEADERS of more", SIZE, headers(more=[("x", "a" * 16384)]))
sends("4.3/1", "invalid header block", COMPRESSION, frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40"))
sends("4.3/2", "PRIORITY in a header block", PROTOCOL, headers(flags=0), frame(PRIORITY, 0, 1, DEPENDS))
sends("4.3/3", "HEADERS of another stream in a header block", PROTOCOL, headers(flags=0), headers(3))
sends("5.1/1", "idle: DATA", PROTOCOL, frame(DATA, END_STREAM, 1, b"a"))
sends("5.1/2", "idle: RST_STREAM", PROTOCOL, frame(RST_STREAM, 0, 1, bytes(4)))
sends("5.1/3", "idle: WINDOW_UPDATE", PROTOCOL, frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 100)))
sends("5.1/4", "idle: CONTINUATION", PROTOCOL, frame(CONTINUATION, END_HEADERS, 1, b""))
sends("5.1/5", "half-closed: DATA", ENDED, headers(path="/slow"), frame(DATA, END_STREAM, 1, b"a"))
sends("5.1/6", "half-closed: HEADERS", ENDED, headers(path="/slow"), headers(path="/slow"))
sends("5.1/7", "half-closed: CONTINUATION", NOT_A_BLOCK, headers(path="/slow"), frame(CONTINUATION, END_HEADERS, 1, b""))
RESET = frame(RST_STREAM, 0, 1, struct.pack(">I", 8))
# A frame that was in flight when the stream was reset may be ignored: RFC 9113, section 5.1.
sends("5.1/8", "closed by RST_STREAM: DATA", (*ENDED, "alive"), post(), RESET, frame(DATA, END_STREAM, 1, b"a"))
sends("5.1/9", "closed by RST_STREAM: HEADERS", (*ENDED, "alive"), post(), RESET, headers())
sends("5.1/10", "closed by RST_STREAM: CONTINUATION", NOT_A_BLOCK, post(), RESET, frame(CONTINUATION, END_HEADERS, 1))
sends("5.1/11", "closed: DATA", ENDED, lambda c: done(c) or b"", frame(DATA, END_STREAM, 1, b"a"))
sends("5.1/12", "closed: HEADERS", (*ENDED, PROTOCOL), lambda c: done(c) or b"", headers())
sends("5.1/13", "closed: CONTINUATION", NOT_A_BLOCK, lambda c: done(c) or b"", frame(CONTINUATION, END_HEADERS, 1))
sends("5.1.1/1", "even stream id", PROTOCOL, headers(2))
sends("5.1.1/2", "smaller stream id", (PROTOCOL, CLOSED), headers(5), headers(3))


@case("5.1.2/1", "more streams than allowed", "stream REFUSED_STREAM", "stream PROTOCOL_ERROR", server="hyper")
def too_many(c):
    for number in range(101):
        c.request(2 * number + 1, path="/slow")


# RFC 9113 deprecates priorities (section 5.3.2): both outcomes are right.
ITSELF = ("stream PROTOCOL_ERROR", PROTOCOL, "alive", "response 200")
sends("5.3.1/1", "HEADERS that depend on themselves", ITSELF,
      lambda c: frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, DEPENDS + block(c.fields())))
sends("5.3.1/2", "PRIORITY that depends on itself", ITSELF, frame(PRIORITY, 0, 1, DEPENDS))
sends("5.4.1/1", "connection error: GOAWAY and closed", SIZE, frame(PING, 0, 0, bytes(6)))
sends("5.5/1", "extension frame", "alive", frame(255, 0, 0, b"extension"))
sends("5.5/2", "extension frame in a header block", PROTOCOL, headers(flags=0), frame(255, 0, 1, b"extension"))
sends("6.1/1", "DATA on stream 0", PROTOCOL, frame(DATA, END_STREAM, 0, b"a"))
sends("6.1/2", "DATA on a stream that is not open", ENDED, headers(path="/slow"), frame(DATA, END_STREAM, 1, b"a"))
sends("6.1/3", "DATA with too much padding", PROTOCOL, post(), frame(DATA, END_STREAM | PADDED, 1, b"\x06data"))
sends("6.2/3", "HEADERS on stream 0", PROTOCOL, headers(0))
sends("6.2/4", "HEADERS with too much padding", PROTOCOL,
      lambda c: frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + block(c.fields())[:40]))
sends("6.3/1", "PRIORITY on stream 0", PROTOCOL, frame(PRIORITY, 0, 0, DEPENDS))
sends("6.3/2", "PRIORITY of 4 octets", ("stream FRAME_SIZE_ERROR", SIZE), frame(PRIORITY, 0, 1, bytes(4)))
sends("6.4/1", "RST_STREAM on stream 0", PROTOCOL, frame(RST_STREAM, 0, 0, bytes(4)))
sends("6.4/3", "RST_STREAM of 3 octets", SIZE, headers(path="/slow"), frame(RST_STREAM, 0, 1, bytes(3)))
sends("6.5/1", "SETTINGS ACK with a payload", SIZE, frame(SETTINGS, ACK, 0, bytes(1)))
sends("6.5/2", "SETTINGS on a stream", PROTOCOL, frame(SETTINGS, 0, 1, setting(3, 100)))
sends("6.5/3", "SETTINGS of 3 octets", SIZE, frame(SETTINGS, 0, 0, bytes(3)))
sends("6.5.2/1", "ENABLE_PUSH of 2", PROTOCOL, frame(SETTINGS, 0, 0, setting(2, 2)))
sends("6.5.2/2", "INITIAL_WINDOW_SIZE of 2^31", FLOW, frame(SETTINGS, 0, 0, setting(4, 1 << 31)))
sends("6.5.2/3", "MAX_FRAME_SIZE of 2^14 - 1", PROTOCOL, frame(SETTINGS, 0, 0, setting(5, 16383)))
sends("6.5.2/4", "MAX_FRAME_SIZE of 2^24", PROTOCOL, frame(SETTINGS, 0, 0, setting(5, 1 << 24)))
sends("6.5.2/5", "unknown setting", "alive", frame(SETTINGS, 0, 0, setting(255, 1)))


@case("6.5.3/1", "a setting twice: the last value", "DATA of 1")
def last_value(c):
    c.send(frame(SETTINGS, 0, 0, setting(4, 100) + setting(4, 1)))
    c.request()
    return f"DATA of {c.data(1)}"


@case("6.5.3/2", "SETTINGS are acknowledged", "acknowledged")
def acknowledged(c):
    c.send(frame(SETTINGS, 0, 0, setting(4, 100)))
    return "acknowledged" if c.until(lambda seen: seen.kind == SETTINGS and seen.flags & ACK) else "nothing"


@case("6.7/1", "PING", "acknowledged")
def ping(c):
    c.send(frame(PING, 0, 0, b"12345678"))
    seen = c.until(lambda seen: seen.kind == PING)
    return "acknowledged" if seen and seen.flags & ACK and seen.payload == b"12345678" else "nothing"


@case("6.7/2", "PING with ACK", "no answer")
def ping_ack(c):
    c.send(frame(PING, ACK, 0, b"unasked!") + frame(PING, 0, 0, b"12345678"))
    seen = c.until(lambda seen: seen.kind == PING)
    return "no answer" if seen and seen.payload == b"12345678" else f"{seen}"


sends("6.7/3", "PING on a stream", PROTOCOL, frame(PING, 0, 1, bytes(8)))
sends("6.7/4", "PING of 6 octets", SIZE, frame(PING, 0, 0, bytes(6)))
sends("6.8/1", "GOAWAY on a stream", PROTOCOL, frame(GOAWAY, 0, 1, bytes(8)))
sends("6.9/1", "WINDOW_UPDATE of 0", PROTOCOL, frame(WINDOW_UPDATE, 0, 0, bytes(4)))
sends("6.9/2", "WINDOW_UPDATE of 0 on a stream", ("stream PROTOCOL_ERROR", PROTOCOL), headers(path="/slow"),
      frame(WINDOW_UPDATE, 0, 1, bytes(4)))
sends("6.9/3", "WINDOW_UPDATE of 3 octets", SIZE, frame(WINDOW_UPDATE, 0, 0, bytes(3)))


@case("6.9.1/1", "a window of 1", "DATA of 1")
def window_of_one(c):
    c.send(frame(SETTINGS, 0, 0, setting(4, 1)))
    c.request()
    return f"DATA of {c.data(1)}"


MOST = struct.pack(">I", (1 << 31) - 1)
sends("6.9.1/2", "connection window over 2^31 - 1", FLOW, frame(WINDOW_UPDATE, 0, 0, MOST) * 2)
sends("6.9.1/3", "stream window over 2^31 - 1", ("stream FLOW_CONTROL_ERROR", FLOW), headers(path="/slow"),
      frame(WINDOW_UPDATE, 0, 1, MOST) * 2)


@case("6.9.2/1", "the window grows after HEADERS", "DATA of 1")
def window_grows(c):
    c.send(frame(SETTINGS, 0, 0, setting(4, 0)))
    c.request()
    if size := c.data(1, 0.3):
        return f"DATA of {size} without a window"
    c.send(frame(SETTINGS, 0, 0, setting(4, 1)))
    return f"DATA of {c.data(1)}"


@case("6.9.2/2", "a window that becomes negative", "DATA of 1")
def window_negative(c):
    c.send(frame(SETTINGS, 0, 0, setting(4, 3)))
    c.request()
    first = c.data(1)
    c.send(frame(SETTINGS, 0, 0, setting(4, 2)) + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 2)))
    return f"DATA of {c.data(1)}" if first == 3 else f"DATA of {first} first"


sends("6.9.2/3", "INITIAL_WINDOW_SIZE that overflows", FLOW, frame(SETTINGS, 0, 0, setting(4, (1 << 31) - 1)),
      headers(path="/slow"), frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)))
PART = literal("x", "a")
sends("6.10/1", "several CONTINUATION frames", "response 200", headers(flags=END_STREAM),
      frame(CONTINUATION, 0, 1, PART), frame(CONTINUATION, END_HEADERS, 1, PART))
sends("6.10/2", "CONTINUATION, then DATA", PROTOCOL, headers(flags=0), frame(CONTINUATION, 0, 1, PART),
      frame(DATA, END_STREAM, 1, b"a"))
sends("6.10/3", "CONTINUATION on stream 0", PROTOCOL, headers(flags=0), frame(CONTINUATION, END_HEADERS, 0, PART))
sends("6.10/4", "CONTINUATION after END_HEADERS", NOT_A_BLOCK, headers(flags=END_HEADERS, path="/slow"),
      frame(CONTINUATION, END_HEADERS, 1, PART))
sends("6.10/5", "CONTINUATION after the last CONTINUATION", NOT_A_BLOCK, headers(flags=0, path="/slow"),
      frame(CONTINUATION, END_HEADERS, 1, PART), frame(CONTINUATION, END_HEADERS, 1, PART))
sends("6.10/6", "CONTINUATION after DATA", PROTOCOL, headers(flags=0), frame(DATA, END_STREAM, 1, b"a"),
      frame(CONTINUATION, END_HEADERS, 1, PART))
sends("7/1", "GOAWAY with an unknown code", ("alive", "closed"), frame(GOAWAY, 0, 0, struct.pack(">II", 0, 255)))
sends("7/2", "RST_STREAM with an unknown code", "alive", headers(path="/slow"), frame(RST_STREAM, 0, 1, struct.pack(">I", 255)))
sends("8.1/1", "second HEADERS without END_STREAM", ("stream PROTOCOL_ERROR", "response 400"), post(),
      lambda c: frame(HEADERS, END_HEADERS, 1, PART))
malformed("8.1.2/1", "upper-case field name", lambda fields: [*fields, ("X-Test", "a")])
malformed("8.1.2.1/1", "unknown pseudo-header", lambda fields: [*fields, (":test", "a")])
malformed("8.1.2.1/2", ":status in a request", lambda fields: [*fields, (":status", "200")])
sends("8.1.2.1/3", "pseudo-header in trailers", ("stream PROTOCOL_ERROR", "response 400"), post(),
      frame(DATA, 0, 1, b"a"), frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(":method", "POST")))
malformed("8.1.2.1/4", "pseudo-header after another field", lambda fields: [("x", "a"), *fields])
malformed("8.1.2.2/1", "Connection", lambda fields: [*fields, ("connection", "keep-alive")])
malformed("8.1.2.2/2", "TE other than trailers", lambda fields: [*fields, ("te", "trailers, deflate")])
malformed("8.1.2.3/1", "empty :path", lambda fields: [(name, "" if name == ":path" else value) for name, value in fields])
for number, name in enumerate([":method", ":scheme", ":path"], 2):
    malformed(f"8.1.2.3/{number}", f"without {name}", without(name))
for number, name in enumerate([":method", ":scheme", ":path"], 5):
    malformed(f"8.1.2.3/{number}", f"{name} twice", twice(name))
LENGTH = ("stream PROTOCOL_ERROR", "response 400")
sends("8.1.2.6/1", "content-length that is not the DATA's", LENGTH, post(("content-length", "1")),
      frame(DATA, END_STREAM, 1, b"test"))
sends("8.1.2.6/2", "the same over several DATA", LENGTH, post(("content-length", "1")), frame(DATA, 0, 1, b"te"),
      frame(DATA, END_STREAM, 1, b"st"))
sends("8.2/1", "PUSH_PROMISE", PROTOCOL,
      lambda c: frame(PUSH_PROMISE, END_HEADERS, 1, struct.pack(">I", 2) + block(c.fields())))


def compressed(number, text, piece):
    sends(f"hpack {number}", text, COMPRESSION,
          lambda c: frame(HEADERS, END_HEADERS | END_STREAM, 1, block(c.fields()) + piece))


compressed("2.3.3/1", "index 70, which is not there", b"\xc6")
compressed("4.2/1", "table size update at the end of a block", b"\x20")
compressed("5.2/1", "Huffman padding of more than 7 bits", b"\0\x01x\x82\x1f\xff")
compressed("5.2/2", "Huffman padding of zeros", b"\0\x01x\x81\x00")
compressed("5.2/3", "Huffman EOS", b"\0\x01x\x84\xff\xff\xff\xff")
compressed("6.1/1", "index 0", b"\x80")
sends("hpack 6.3/1", "table size update over the setting", COMPRESSION,
      lambda c: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x03" + block(c.fields())))

# Cases that h2spec does not have.
sends("own 1", "neither :authority nor Host", "response 400",
      lambda c: frame(HEADERS, END_HEADERS | END_STREAM, 1, block(without(":authority")(c.fields()))), server="gateway")
malformed("own 2", "Host that is not :authority", lambda fields: [*fields, ("host", "other.example")], server="gateway")
malformed("own 3", "content-length twice", lambda fields: [*fields, ("content-length", "0"), ("content-length", "1")],
          server="gateway")
malformed("own 4", "a line feed in a value", lambda fields: [*fields, ("x", "a\nb: c")])


@case("own 5", "header section of 80 KiB", "response 431", server="h2")
def large_head(c):
    c.send(frame(HEADERS, END_STREAM, 1, block(c.fields())))
    pieces = [frame(CONTINUATION, 0, 1, literal(f"x{number}", "a" * 16300)) for number in range(5)]
    c.send(b"".join(pieces) + frame(CONTINUATION, END_HEADERS, 1, PART))


@case("own 6", "CONTINUATION frames without an end", "connection ENHANCE_YOUR_CALM", PROTOCOL, COMPRESSION, "closed")
def endless_head(c):
    c.send(headers(flags=0)(c))
    for _ in range(2000):
        c.send(frame(CONTINUATION, 0, 1, literal("x", "a" * 1000)))


@case("own 7", "500 requests that are reset at once", "connection ENHANCE_YOUR_CALM", server="gateway")
def rapid_resets(c):
    for number in range(500):
        c.request(2 * number + 1, path="/slow")
        c.send(frame(RST_STREAM, 0, 2 * number + 1, struct.pack(">I", 8)))
        if number % 20 == 0:
            time.sleep(0.01)


@case("own 8", "10,000 empty DATA frames", "connection ENHANCE_YOUR_CALM", "alive", "response 200")
def empty_data(c):
    c.send(post()(c))
    c.send(frame(DATA, 0, 1) * 10000)


@case("own 9", "10,000 SETTINGS whose ACK is not read", "alive", "connection ENHANCE_YOUR_CALM", "closed")
def many_settings(c):
    c.send(frame(SETTINGS, 0, 0, setting(4, 100)) * 10000)

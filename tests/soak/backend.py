"""A stateful server that counts per session in its memory: backend.py PORT NAME.

Session ids begin with NAME. A request that shows an id of another server is reported on the output.
"""

import asyncio
import random
import sys
import uuid

PORT, NAME = int(sys.argv[1]), sys.argv[2]
LARGE = 1 << 20
# Idle connections are closed, as servers do.
KEEP_ALIVE_SECONDS = 20
counts = {}


def response(status, body=b"", *fields):
    head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "content-type: application/json", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def request(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    body = b""
    if "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    elif "chunked" in fields.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    return lines[0].split(" ")[0], fields.get("mcp-session-id"), body


async def answer(method, session, body, writer):
    if session is None:
        if b'"initialize"' not in body:
            return response(400)
        session = f"{NAME}.{uuid.uuid4()}"
        counts[session] = 0
        return response(200, b'{"jsonrpc":"2.0","id":1,"result":{}}', f"mcp-session-id: {session}")
    if not session.startswith(NAME + "."):
        print(f"misroute: {NAME} was sent {session[:2]}", flush=True)
        return response(500)
    if session not in counts:
        return response(404, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Session not found"}}')
    if method == "DELETE":
        del counts[session]
        return response(204)
    if method == "GET":
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            counts[session] += 1
            event = f'data: {{"server":"{NAME}","count":{counts[session]}}}\n\n'.encode()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(random.uniform(0.05, 0.5))
    counts[session] += 1
    count = f'{{"server":"{NAME}","count":{counts[session]}}}'.encode()
    if b"slow" in body:
        await asyncio.sleep(random.uniform(0.1, 1))
    if b"large" in body:
        count += b" " * LARGE
    return response(200, count)


async def serve(reader, writer):
    try:
        while True:
            received = await asyncio.wait_for(request(reader), KEEP_ALIVE_SECONDS)
            writer.write(await answer(*received, writer))
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=1024)
    async with server:
        await server.serve_forever()


asyncio.run(main())

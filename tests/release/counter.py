"""An MCP server with sessions in memory, which counts the calls of each."""

import http.server
import json
import threading
import uuid


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        message = json.loads(body)
        session = self.headers.get("mcp-session-id")
        if message["method"] == "initialize":
            session = uuid.uuid4().hex
            self.server.counts[session] = 0
            result = {"protocolVersion": "2025-06-18", "capabilities": {}}
            result["serverInfo"] = {"name": "counter", "version": "0"}
            return self.answer(200, message, result, {"mcp-session-id": session})
        if session not in self.server.counts:
            return self.answer(404, message, "who are you?", {})
        self.server.counts[session] += 1
        return self.answer(200, message, self.server.counts[session], {})

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": here\n\n")
        self.wfile.flush()
        self.close_connection = True
        # Open until the proxy goes away.
        self.connection.settimeout(120)
        self.rfile.read(1)

    def answer(self, status, message, result, fields):
        body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start():
    """A server on a free port. It ends with this process."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.counts = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

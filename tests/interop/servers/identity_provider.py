"""An identity provider that lets everybody in: identity_provider.py PORT."""

import json
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit


class Provider(BaseHTTPRequestHandler):
    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        if "redirect_uri" not in query:
            return self.answer(200, {})
        back = {"code": uuid.uuid4().hex, "state": query["state"][0]}
        self.send_response(302)
        self.send_header("location", f"{query['redirect_uri'][0]}?{urlencode(back)}")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        token = {"access_token": uuid.uuid4().hex, "token_type": "Bearer", "expires_in": 3600}
        self.answer(200, token)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider).serve_forever()

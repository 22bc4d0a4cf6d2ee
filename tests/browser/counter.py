"""A stateful FastMCP server with its own CORS, which logs each request on its output: counter.py PORT."""

import sys

import uvicorn
from fastmcp import FastMCP
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

server = FastMCP("counter")
count = 0


@server.tool
def increment() -> int:
    """Counts, and says how far."""
    global count
    count += 1
    return count


class Log:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            print(scope["method"], scope["path"], flush=True)
        await self.app(scope, receive, send)


cors = Middleware(
    CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["mcp-session-id"]
)
app = Log(server.http_app(middleware=[cors]))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")

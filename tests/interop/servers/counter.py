"""A stateful MCP server that counts in its memory, by one of the Python SDKs: counter.py SDK PORT."""

import sys

sdk, port = sys.argv[1], int(sys.argv[2])
count = 0


def increment() -> int:
    """Counts, and says how far."""
    global count
    count += 1
    return count


if sdk == "python-v1":
    from mcp.server.fastmcp import FastMCP

    server = FastMCP("counter", host="127.0.0.1", port=port, log_level="WARNING")
    server.tool()(increment)
    server.run("streamable-http")
elif sdk == "python-v2":
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("counter", log_level="WARNING")
    server.tool()(increment)
    server.run("streamable-http", host="127.0.0.1", port=port)
else:
    from fastmcp import FastMCP

    server = FastMCP("counter")
    server.tool(increment)
    server.run(transport="http", host="127.0.0.1", port=port, log_level="warning", show_banner=False)

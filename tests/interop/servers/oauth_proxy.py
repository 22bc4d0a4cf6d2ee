"""FastMCP behind its OAuth proxy, all of whose state is in memory: oauth_proxy.py PORT PUBLIC_ORIGIN IDP_ORIGIN."""

import sys

from fastmcp import FastMCP
from fastmcp.server.auth.oauth_proxy import OAuthProxy
from fastmcp.server.auth.providers.debug import DebugTokenVerifier
from key_value.aio.stores.memory import MemoryStore

port, public, idp = int(sys.argv[1]), sys.argv[2], sys.argv[3]
auth = OAuthProxy(
    upstream_authorization_endpoint=f"{idp}/authorize",
    upstream_token_endpoint=f"{idp}/token",
    upstream_client_id="gateway",
    upstream_client_secret="not-a-secret",
    token_verifier=DebugTokenVerifier(),
    base_url=public,
    client_storage=MemoryStore(),
    jwt_signing_key="the same for every replica",
)
server = FastMCP("counter", auth=auth)
count = 0


@server.tool
def increment() -> int:
    """Counts, and says how far."""
    global count
    count += 1
    return count


server.run(transport="http", host="127.0.0.1", port=port, log_level="warning", show_banner=False)

"""A client by one of the Python SDKs, which does what standard input says, line by line: client.py SDK URL [login].

open, call TOOL and close are answered with a line of JSON: `session`, `value`, or `error`.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from browser import log_in

sdk, url, *rest = sys.argv[1:]
REDIRECT = "http://localhost:3030/callback"
# The form in which the TypeScript SDK's server takes a client's secret.
METHOD = "client_secret_post"


class Connection:
    def __init__(self):
        self.stack = AsyncExitStack()
        self.session_id = None

    async def remember(self, response):
        self.session_id = response.headers.get("mcp-session-id", self.session_id)

    async def open(self):
        self.session = await (self.fastmcp() if sdk == "fastmcp" else self.python())

    async def fastmcp(self):
        from fastmcp import Client
        from fastmcp.client.transports import StreamableHttpTransport

        transport = StreamableHttpTransport(url, auth=fastmcp_auth() if rest else None)
        client = await self.stack.enter_async_context(Client(transport, mode="legacy"))
        self.session_id = transport._session_id
        return client

    async def python(self):
        from mcp import ClientSession
        from mcp.client.streamable_http import streamable_http_client

        http = __import__("httpx" if sdk == "python-v1" else "httpx2")
        hooks = {"response": [self.remember]}
        auth = python_auth() if rest else None
        client = http.AsyncClient(auth=auth, event_hooks=hooks, timeout=30)
        await self.stack.enter_async_context(client)
        transport = streamable_http_client(url, http_client=client)
        streams = await self.stack.enter_async_context(transport)
        session = await self.stack.enter_async_context(ClientSession(streams[0], streams[1]))
        await session.initialize()
        return session

    async def call(self, tool):
        arguments = {"raise_on_error": False} if sdk == "fastmcp" else {}
        result = await self.session.call_tool(tool, {}, **arguments)
        return result.content[0].text


class Tokens:
    """What a client keeps of its login."""

    tokens = info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.info

    async def set_client_info(self, info):
        self.info = info


class Login:
    """The two ends of a login: where the browser is sent, and what it comes back with."""

    async def go(self, authorization_url):
        self.back = await asyncio.to_thread(log_in, authorization_url, REDIRECT)

    async def come_back(self):
        code, state = self.back["code"], self.back.get("state")
        if sdk == "python-v1":
            return code, state
        from mcp.client.auth.oauth2 import AuthorizationCodeResult

        return AuthorizationCodeResult(code=code, state=state, iss=self.back.get("iss"))


def python_auth():
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata

    login = Login()
    metadata = OAuthClientMetadata(
        client_name="interop", redirect_uris=[REDIRECT], token_endpoint_auth_method=METHOD
    )
    return OAuthClientProvider(
        server_url=url,
        client_metadata=metadata,
        storage=Tokens(),
        redirect_handler=login.go,
        callback_handler=login.come_back,
    )


def fastmcp_auth():
    from fastmcp.client.auth import OAuth

    class Auth(OAuth, Login):
        async def redirect_handler(self, authorization_url):
            await self.go(authorization_url)

        async def callback_handler(self):
            return await self.come_back()

    return Auth(callback_port=3030, additional_client_metadata={"token_endpoint_auth_method": METHOD})


async def do(connection, word, argument):
    if word == "open":
        await connection.open()
        return {"session": connection.session_id}
    if word == "call":
        return {"value": await connection.call(argument)}
    await connection.stack.aclose()
    return {"value": "closed"}


async def main():
    connection = Connection()
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, _, argument = line.strip().partition(" ")
        if word == "open":
            connection = Connection()
        try:
            answer = await asyncio.wait_for(do(connection, word, argument), 30)
        except (Exception, asyncio.CancelledError) as error:
            answer = {"error": explain(error)}
        print(json.dumps(answer), flush=True)


def explain(error):
    inner = getattr(error, "exceptions", [error])
    return "; ".join(f"{type(one).__name__}: {one}" if one is error else explain(one) for one in inner)


asyncio.run(main())

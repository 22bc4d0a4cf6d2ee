// A stateful MCP server that counts in its memory, by version 1 of the TypeScript SDK: PORT [PUBLIC_ORIGIN].
// With an origin, it requires a login at the SDK's authorization server, in the same process and at the same origin.
import { randomUUID } from 'node:crypto';
import express from 'express';
import { DemoInMemoryAuthProvider } from '@modelcontextprotocol/sdk/examples/server/demoInMemoryOAuthProvider.js';
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js';
import { mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js';

const [port, publicOrigin] = process.argv.slice(2);
const transports = new Map();
let count = 0;

async function open() {
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => transports.set(id, transport),
        onsessionclosed: (id) => transports.delete(id),
    });
    const server = new McpServer({ name: 'counter', version: '1' });
    server.registerTool('increment', {}, () => ({ content: [{ type: 'text', text: `${++count}` }] }));
    await server.connect(transport);
    return transport;
}

const app = express();
const guards = [];
if (publicOrigin) {
    const provider = new DemoInMemoryAuthProvider();
    app.use(mcpAuthRouter({ provider, issuerUrl: new URL(publicOrigin), scopesSupported: ['mcp:tools'] }));
    guards.push(requireBearerAuth({ verifier: provider }));
}
app.all('/mcp', ...guards, express.json(), async (request, response) => {
    const id = request.headers['mcp-session-id'];
    if (!id && !isInitializeRequest(request.body)) {
        return response.status(400).json({ jsonrpc: '2.0', error: { code: -32000, message: 'No session id' } });
    }
    const transport = id ? transports.get(id) : await open();
    if (!transport) {
        return response.status(404).json({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' } });
    }
    await transport.handleRequest(request, response, request.body);
});
app.listen(Number(port), '127.0.0.1');

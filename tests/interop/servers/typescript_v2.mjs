// A stateful MCP server that counts in its memory, by version 2 of the TypeScript SDK: PORT.
import { randomUUID } from 'node:crypto';
import { createMcpExpressApp } from '@modelcontextprotocol/express';
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import { McpServer, isInitializeRequest } from '@modelcontextprotocol/server';

const [port] = process.argv.slice(2);
const transports = new Map();
let count = 0;

async function open() {
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => transports.set(id, transport),
        onsessionclosed: (id) => transports.delete(id),
    });
    const server = new McpServer({ name: 'counter', version: '1' });
    server.registerTool('increment', {}, () => ({ content: [{ type: 'text', text: `${++count}` }] }));
    await server.connect(transport);
    return transport;
}

const app = createMcpExpressApp();
app.all('/mcp', async (request, response) => {
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

// The features that the suite asks servers for, with version 1 of the TypeScript SDK: PORT.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';

const [port, fixturesFile] = process.argv.slice(2);
const fixtures = JSON.parse(readFileSync(fixturesFile));
const transports = new Map();
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
const text = (value) => ({ content: [{ type: 'text', text: value }] });

async function call({ params: { name, arguments: given, _meta } }, extra) {
    if (name in fixtures.calls) {
        return fixtures.calls[name];
    }
    if (name in fixtures.elicitations) {
        const question = { method: 'elicitation/create', params: fixtures.elicitations[name] };
        const answer = await extra.sendRequest(question, types.ElicitResultSchema);
        return text(`action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`);
    }
    switch (name) {
        case 'test_tool_with_logging':
            for (const data of ['started', 'running', 'done']) {
                await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
                await pause();
            }
            return text('logged');
        case 'test_tool_with_progress':
            for (const progress of [0, 50, 100]) {
                const params = { progressToken: _meta?.progressToken ?? 0, progress, total: 100 };
                await extra.sendNotification({ method: 'notifications/progress', params });
                await pause();
            }
            return text('reported');
        case 'test_sampling': {
            const messages = [{ role: 'user', content: { type: 'text', text: given.prompt } }];
            const question = { method: 'sampling/createMessage', params: { messages, maxTokens: 100 } };
            const answer = await extra.sendRequest(question, types.CreateMessageResultSchema);
            return text(`LLM response: ${answer.content.text}`);
        }
        case 'test_reconnection':
            transports.get(extra.sessionId)?.closeSSEStream(extra.requestId);
            await pause();
            return text('answered on another stream');
        case 'json_schema_2020_12_tool':
            return text(JSON.stringify(given));
    }
    throw new types.McpError(types.ErrorCode.InvalidParams, `Unknown tool: ${name}`);
}

function read({ params: { uri } }) {
    if (!(uri in fixtures.contents)) {
        throw new types.McpError(-32002, 'Resource not found', { uri });
    }
    return { contents: [{ uri, ...fixtures.contents[uri] }] };
}

function prompt({ params: { name, arguments: given } }) {
    const messages = JSON.stringify(fixtures.messages[name].map((content) => ({ role: 'user', content })));
    return { messages: JSON.parse(messages.replace(/\{(arg\d)\}/g, (_, argument) => given[argument])) };
}

async function open() {
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        eventStore: new InMemoryEventStore(),
        retryInterval: 500,
        onsessioninitialized: (id) => transports.set(id, transport),
        onsessionclosed: (id) => transports.delete(id),
    });
    const capabilities = { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} };
    const server = new Server({ name: 'everything', version: '1' }, { capabilities });
    const on = (schema, handler) => server.setRequestHandler(schema, handler);
    on(types.ListToolsRequestSchema, () => ({ tools: fixtures.tools }));
    on(types.CallToolRequestSchema, call);
    on(types.ListResourcesRequestSchema, () => ({ resources: fixtures.resources }));
    on(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: fixtures.resourceTemplates }));
    on(types.ReadResourceRequestSchema, read);
    on(types.SubscribeRequestSchema, () => ({}));
    on(types.UnsubscribeRequestSchema, () => ({}));
    on(types.ListPromptsRequestSchema, () => ({ prompts: fixtures.prompts }));
    on(types.GetPromptRequestSchema, prompt);
    on(types.CompleteRequestSchema, () => ({ completion: { values: ['one', 'two'] } }));
    on(types.SetLevelRequestSchema, () => ({}));
    await server.connect(transport);
    return transport;
}

// Validates Host.
const app = createMcpExpressApp();
app.all('/mcp', async (request, response) => {
    const id = request.headers['mcp-session-id'];
    const error = (status, code, message) =>
        response.status(status).json({ jsonrpc: '2.0', error: { code, message }, id: null });
    if (!id && !types.isInitializeRequest(request.body)) {
        return error(400, -32000, 'No session id');
    }
    const transport = id ? transports.get(id) : await open();
    if (!transport) {
        return error(404, -32001, 'Session not found');
    }
    await transport.handleRequest(request, response, request.body);
});
app.listen(Number(port), '127.0.0.1');

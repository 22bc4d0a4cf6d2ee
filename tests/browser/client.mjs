// The TypeScript SDK's client, for pages; its functions are on `window`.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

// Opens a session, counts twice, ends it.
window.count = async (url) => {
    const transport = new StreamableHTTPClientTransport(new URL(url));
    const client = new Client({ name: 'page', version: '1' });
    await client.connect(transport);
    const session = transport.sessionId;
    const counts = [];
    for (let call = 0; call < 2; call++) {
        const { content } = await client.callTool({ name: 'increment' });
        counts.push(Number(content[0].text));
    }
    await transport.terminateSession();
    await client.close();
    return { session: Boolean(session), counts };
};

// Sends one request. A response that the page cannot read is an error.
window.send = async (url, options) => {
    try {
        const response = await fetch(url, options);
        return { status: response.status, text: await response.text() };
    } catch (error) {
        return { error: String(error) };
    }
};

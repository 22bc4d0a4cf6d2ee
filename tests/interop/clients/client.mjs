// A client with one of the TypeScript SDKs, which executes commands from standard input, line by line: SDK URL [login].
// Like client.py.
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { createRequire } from 'node:module';

const [sdk, url, login] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(join(here, '..', 'installed', sdk, 'package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const [{ Client }, { StreamableHTTPClientTransport }] =
    sdk === 'typescript-v1'
        ? [
              await load('@modelcontextprotocol/sdk/client/index.js'),
              await load('@modelcontextprotocol/sdk/client/streamableHttp.js'),
          ]
        : Array(2).fill(await load('@modelcontextprotocol/client'));

const REDIRECT = 'http://localhost:3030/callback';

// The state that a client keeps of its login.
class Login {
    redirectUrl = REDIRECT;
    clientMetadata = { client_name: 'interop', redirect_uris: [REDIRECT], token_endpoint_auth_method: 'client_secret_post' };
    state = () => 'a state of the client';
    clientInformation = () => this.client;
    saveClientInformation = (client) => void (this.client = client);
    tokens = () => this.kept;
    saveTokens = (tokens) => void (this.kept = tokens);
    saveCodeVerifier = (verifier) => void (this.verifier = verifier);
    codeVerifier = () => this.verifier;
    redirectToAuthorization = async (to) => {
        const browser = promisify(execFile);
        const { stdout } = await browser('python3', [join(here, 'browser.py'), `${to}`, REDIRECT]);
        this.back = new URLSearchParams(stdout.trim());
    };
}

let client, transport;

async function open() {
    const authProvider = login ? new Login() : undefined;
    const connect = async () => {
        client = new Client({ name: 'interop', version: '1' });
        transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
        await client.connect(transport);
    };
    try {
        await connect();
    } catch (error) {
        if (!authProvider?.back) throw error;
        const back = authProvider.back;
        // Version 2 takes all parameters, since it checks the issuer.
        await transport.finishAuth(sdk === 'typescript-v1' ? back.get('code') : back);
        await connect();
    }
    return { session: transport.sessionId };
}

async function perform(word, argument) {
    if (word === 'open') return open();
    if (word === 'call') {
        const result = await client.callTool({ name: argument, arguments: {} });
        return { value: result.content[0].text };
    }
    await transport.terminateSession();
    await client.close();
    return { value: 'closed' };
}

for await (const line of createInterface({ input: process.stdin })) {
    const [word, argument] = line.trim().split(' ');
    const answer = await perform(word, argument).catch((error) => ({ error: `${error.name}: ${error.message}` }));
    console.log(JSON.stringify(answer));
}
process.exit(0);

// Pages in Chromium, in front of the gateway: run.mjs GATEWAY PYTHON COUNTER CACHE.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const [gatewayProgram, python, counterProgram, cache] = process.argv.slice(2);
const INITIALIZE = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'page', version: '1' } },
});
const MCP = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const FLAGS = [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP *.example 127.0.0.1',
];
const processes = [];
let failures = 0;

function check(what, holds, seen) {
    failures += holds ? 0 : 1;
    console.log(holds ? `ok   ${what}` : `FAIL ${what} (seen: ${JSON.stringify(seen)})`);
}

function listen(handler) {
    return new Promise((resolve) => {
        const server = createServer(handler);
        const close = () => {
            server.closeAllConnections();
            return new Promise((closed) => server.close(closed));
        };
        server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port, close }));
    });
}

async function freePort() {
    const server = await listen();
    await server.close();
    return server.port;
}

// A process that listens on `port`; its output so far is `lines()`.
async function start(port, program, ...options) {
    const process = spawn(program, options, { stdio: ['ignore', 'pipe', 'inherit'] });
    processes.push(process);
    let output = '';
    process.stdout.on('data', (piece) => (output += piece));
    for (let attempt = 0; attempt < 600; attempt++) {
        if (process.exitCode !== null) break;
        const open = await new Promise((resolve) => {
            const socket = connect(port, '127.0.0.1', () => resolve(socket.destroy() && true));
            socket.on('error', () => resolve(false));
        });
        if (open) return { lines: () => output.split('\n').filter(Boolean) };
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${program} does not listen`);
}

async function counter() {
    const port = await freePort();
    return { port, ...(await start(port, python, counterProgram, String(port))) };
}

async function gateway(backend, ...options) {
    const port = await freePort();
    await gatewayAt(port, backend, ...options);
    return port;
}

async function gatewayAt(port, backend, ...options) {
    await start(port, gatewayProgram, `--listen=127.0.0.1:${port}`, `--backend=http://127.0.0.1:${backend}`, ...options);
}

// The lines of a response's head, without a browser.
function head(port, headers, method = 'POST', body = INITIALIZE) {
    return new Promise((resolve, reject) => {
        const sent = httpRequest({ port, host: '127.0.0.1', path: '/mcp', method, headers: { ...MCP, ...headers } });
        sent.on('error', reject);
        sent.on('response', (response) => {
            response.resume();
            const names = response.rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
            resolve({ status: response.statusCode, names, headers: response.headers });
        });
        sent.end(body);
    });
}

const doubled = (names) => names.filter((name, at) => name.startsWith('access-control-') && names.indexOf(name) !== at);
const pages = { '.js': 'text/javascript', '.css': 'text/css', '.html': 'text/html', '.svg': 'image/svg+xml' };

async function main() {
    const bundled = await build({
        entryPoints: [join(cache, 'client.mjs')], bundle: true, write: false, format: 'iife', logLevel: 'error',
    });
    const script = bundled.outputFiles[0].text;
    const html = `<!doctype html><script>${script.replaceAll('</script', '<\\/script')}</script>`;
    const site = await listen((request, response) => response.setHeader('content-type', 'text/html').end(html));
    const profile = mkdtempSync(join(tmpdir(), 'bartizan-browser-'));
    const browser = await chromium.launchPersistentContext(profile, { executablePath: '/usr/bin/chromium', args: FLAGS });
    browser.setDefaultTimeout(15000);
    try {
        await rebound(browser, html);
        await allowed(browser, site);
        await local(browser, site);
        await inspector(browser);
    } finally {
        await browser.close();
        site.close();
        rmSync(profile, { recursive: true, force: true });
    }
}

// A page is loaded; then its name and port lead to the gateway (DNS rebinding).
async function rebound(browser, html) {
    const backend = await counter();
    for (const options of [[], ['--allow-host=gw.example', '--allow-origin=http://app.example']]) {
        const { port, close } = await listen((_, response) => response.setHeader('content-type', 'text/html').end(html));
        const part = `rebound page${options.length ? ', with allowed ones' : ''}`;
        const before = backend.lines().length;
        const page = await browser.newPage();
        await page.goto(`http://evil.example:${port}/`);
        await close();
        await gatewayAt(port, backend.port, ...options);
        const send = (path, settings) => page.evaluate(([path, settings]) => window.send(path, settings), [path, settings]);
        const opened = await send('/mcp', { method: 'POST', headers: MCP, body: INITIALIZE });
        check(`${part}: 421 to initialize`, opened.status === 421, opened);
        check(`${part}: the body is a JSON-RPC error that names the option`, /"error".*--allow-host/.test(opened.text), opened);
        const error = await page.evaluate((url) => window.count(url).catch(String), `http://evil.example:${port}/mcp`);
        check(`${part}: the SDK's client opens no session`, /421|allow-host/.test(error), error);
        const ended = await send('/mcp', { method: 'DELETE', headers: { 'mcp-session-id': 'abc' } });
        check(`${part}: 421 to DELETE`, ended.status === 421, ended);
        // From its own name to the gateway's, which is another origin.
        const foreign = await send(`http://127.0.0.1:${port}/mcp`, { method: 'POST', headers: MCP, body: INITIALIZE });
        check(`${part}: a request to the address fails`, 'error' in foreign, foreign);
        const simple = { method: 'POST', mode: 'no-cors', headers: { 'content-type': 'text/plain' }, body: INITIALIZE };
        await send(`http://127.0.0.1:${port}/mcp`, simple);
        // Chromium sends neither Origin nor Sec-Fetch-* with it, so it looks like any client's
        // request.
        const listened = await send('/mcp', { headers: { accept: 'text/event-stream' } });
        check(`${part}: 405 to GET`, listened.status === 405, listened);
        const seen = backend.lines().slice(before);
        check(`${part}: the backend sees nothing`, seen.length === 0, seen);
        await page.close();
    }
    // The same with the host allowed: the requests that are refused above work then.
    const { port, close } = await listen((_, response) => response.setHeader('content-type', 'text/html').end(html));
    const page = await browser.newPage();
    await page.goto(`http://evil.example:${port}/`);
    await close();
    await gatewayAt(port, backend.port, '--allow-host=evil.example');
    const counted = await page.evaluate((url) => window.count(url).catch(String), `http://evil.example:${port}/mcp`);
    check('the same page, its host allowed: opens a session', counted.session, counted);
    await page.close();
}

// Pages of an allowed origin, and of one that is not allowed.
async function allowed(browser, site) {
    const backend = await counter();
    const origin = `http://app.example:${site.port}`;
    const port = await gateway(backend.port, `--allow-origin=${origin}`, '--allow-host=gw.example');
    for (const name of ['127.0.0.1', 'gw.example']) {
        const url = `http://${name}:${port}/mcp`;
        const page = await browser.newPage();
        await page.goto(`${origin}/`);
        const counted = await page.evaluate((url) => window.count(url).catch(String), url);
        const holds = counted.session && counted.counts[1] === counted.counts[0] + 1;
        check(`allowed origin at ${name}: opens a session, counts and ends it`, holds, counted);
        const headers = { ...MCP, 'mcp-session-id': 'unknown' };
        const options = { method: 'POST', headers, body: '{"jsonrpc":"2.0","id":7,"method":"tools/list"}' };
        const missing = await page.evaluate(([url, options]) => window.send(url, options), [url, options]);
        check(`allowed origin at ${name}: reads the gateway's 404`, missing.status === 404, missing);
        check(`allowed origin at ${name}: and its body`, /"id":7.*-32001/.test(missing.text ?? ''), missing);
        await page.goto(`http://other.example:${site.port}/`);
        const before = backend.lines().length;
        const refused = await page.evaluate(
            ([url, options]) => window.send(url, options), [url, { method: 'POST', headers: MCP, body: INITIALIZE }]);
        check(`another origin at ${name}: reads nothing`, 'error' in refused, refused);
        check(`another origin at ${name}: the backend sees nothing`, backend.lines().length === before, backend.lines());
        await page.close();
    }
    const direct = await head(backend.port, { origin });
    check('the backend has CORS of its own', direct.headers['access-control-allow-origin'] === '*', direct);
    const through = await head(port, { origin });
    const origins = through.names.filter((name) => name === 'access-control-allow-origin');
    check('through the gateway: one access-control-allow-origin', origins.length === 1, through);
    check('through the gateway: it is the page', through.headers['access-control-allow-origin'] === origin, through);
    check('through the gateway: no CORS field twice', doubled(through.names).length === 0, through);
    const asked = { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'mcp-session-id' };
    const before = backend.lines().length;
    const preflight = await head(port, asked, 'OPTIONS', '');
    check('a preflight: no CORS field twice', preflight.status === 200 && doubled(preflight.names).length === 0, preflight);
    check('a preflight: answered by the gateway', backend.lines().length === before, backend.lines());
}

// Without options: the backend's own CORS reaches pages of this machine.
async function local(browser, site) {
    const backend = await counter();
    const port = await gateway(backend.port);
    const page = await browser.newPage();
    await page.goto(`http://localhost:${site.port}/`);
    const counted = await page.evaluate((url) => window.count(url).catch(String), `http://127.0.0.1:${port}/mcp`);
    check("a local page uses the backend's CORS", counted.session && counted.counts[1] === counted.counts[0] + 1, counted);
    await page.close();
}

// The pages of the MCP Inspector, which connect by themselves in its direct mode.
async function inspector(browser) {
    const files = join(cache, 'package/dist');
    const site = await listen((request, response) => {
        const path = normalize(new URL(request.url, 'http://localhost').pathname);
        const file = join(files, extname(path) ? path : 'index.html');
        try {
            response.setHeader('content-type', pages[extname(file)] ?? 'application/octet-stream').end(readFileSync(file));
        } catch {
            response.writeHead(404).end();
        }
    });
    const origin = `http://localhost:${site.port}`;
    const backend = await counter();
    for (const options of [[], [`--allow-origin=${origin}`]]) {
        const part = `inspector${options.length ? ', its origin allowed' : ''}`;
        const port = await gateway(backend.port, ...options);
        const page = await browser.newPage();
        await page.addInitScript(() => localStorage.setItem('lastConnectionType', 'direct'));
        const url = encodeURIComponent(`http://127.0.0.1:${port}/mcp`);
        const before = backend.lines().length;
        const log = [];
        page.on('console', (message) => log.push(message.text()));
        page.on('pageerror', (error) => log.push(String(error)));
        try {
            await page.goto(`${origin}/?transport=streamable-http&serverUrl=${url}`);
            await page.getByRole('button', { name: 'Connect', exact: true }).click();
            await page.getByText('Connected', { exact: true }).waitFor();
            check(`${part}: connects directly`, backend.lines().length > before, backend.lines());
            await page.getByRole('tab', { name: 'Tools' }).click();
            await page.getByRole('button', { name: 'List Tools' }).click();
            await page.getByText('Counts, and says how far.').first().click();
            await page.getByRole('button', { name: 'Run Tool' }).click();
            await page.getByText('Success', { exact: false }).first().waitFor();
            check(`${part}: calls a tool`, true);
        } catch (error) {
            check(`${part}: works`, false, [String(error), await page.innerText('body'), log]);
        }
        await page.close();
    }
    site.close();
}

try {
    await main();
} catch (error) {
    check('runs to its end', false, String(error.stack));
} finally {
    processes.forEach((process) => process.kill('SIGKILL'));
}
console.log(`${failures ? 'FAILED' : 'passed'}: ${failures} failures`);
process.exit(failures ? 1 : 0);

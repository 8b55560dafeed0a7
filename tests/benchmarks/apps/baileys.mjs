// Baileys on an open socket to a server that never answers, and one HTTP route that tells the process' pid once it is open.
// Arguments: port, address of the WebSocket, path of the library.
import http from 'node:http';

const [port, address, library] = process.argv.slice(2);
const { default: makeSocket, initAuthCreds, makeCacheableSignalKeyStore } = await import(library);

const logger = { level: 'silent', child: () => logger, trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
const keys = makeCacheableSignalKeyStore({ get: async () => ({}), set: async () => {} }, logger);
const socket = makeSocket({
    auth: { creds: initAuthCreds(), keys },
    logger,
    waWebSocketUrl: address,
    connectTimeoutMs: 3_600_000,
    keepAliveIntervalMs: 3_600_000,
});
await socket.ws.socket.readyState === 1 || await new Promise(open => socket.ws.on('open', open));
http.createServer((_request, response) => response.end(String(process.pid))).listen(Number(port), '127.0.0.1');

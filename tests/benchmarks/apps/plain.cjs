// The least a process manager can hold: one HTTP route that tells the process' pid.
const http = require('node:http');

http.createServer((_request, response) => response.end(String(process.pid))).listen(Number(process.argv[2]), '127.0.0.1');

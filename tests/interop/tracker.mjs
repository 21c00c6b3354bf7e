// npm's `bittorrent-tracker` as a program: prints {"version", "http", "udp"} (ports)
// when it listens, and ends when its stdin does.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const folder = `${process.env.SEEDRAIL_PEERS}/javascript/node_modules/bittorrent-tracker`;
const { version } = JSON.parse(readFileSync(`${folder}/package.json`));
const { default: Server } = await import(pathToFileURL(`${folder}/server.js`));
const server = new Server({ http: true, udp: true, ws: false, stats: false, trustProxy: false });
server.on('error', (error) => console.error(error.message));
server.on('warning', (error) => console.error(error.message));
server.listen(0, { http: '127.0.0.1', udp: '127.0.0.1', udp6: '::1' }, () => {
    console.log(JSON.stringify({
        version: `bittorrent-tracker ${version}`,
        http: server.http.address().port,
        udp: server.udp4.address().port,
    }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit());

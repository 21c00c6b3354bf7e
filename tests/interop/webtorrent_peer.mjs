// webtorrent as a program: one client, the torrents of its argument (JSON).
//
// {"port": N, "jobs": [{"source": "path or magnet", "dir": "...", "peers": ["ip:port"]}]}
//
// Prints one line of JSON when it listens, {"version"}. Ends when its stdin does.
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';

// WebRTC needs a native module that is not installed; TCP does without.
const none = 'data:text/javascript,' + encodeURIComponent(
    ['RTCPeerConnection', 'RTCSessionDescription', 'RTCIceCandidate']
        .map((name) => `export const ${name} = undefined;`).join('') + 'export default {};');
const hooks = `export function resolve(name, context, next) {
    if (name === 'webrtc-polyfill' || name.startsWith('node-datachannel'))
        return { url: ${JSON.stringify(none)}, shortCircuit: true };
    return next(name, context);
}`;
register('data:text/javascript,' + encodeURIComponent(hooks));

const folder = `${process.env.SEEDRAIL_PEERS}/webtorrent/node_modules/webtorrent`;
const { version } = JSON.parse(readFileSync(`${folder}/package.json`));
const { default: WebTorrent } = await import(pathToFileURL(`${folder}/index.js`));
const wanted = JSON.parse(process.argv[2]);
const client = new WebTorrent({
    torrentPort: wanted.port,
    dht: false, lsd: false, natUpnp: false, natPmp: false, utp: false, utPex: false,
});
client.on('error', (error) => console.error(error.message));
for (const { source, dir, peers } of wanted.jobs) {
    const torrent = client.add(source.startsWith('magnet:') ? source : readFileSync(source), { path: dir });
    torrent.on('infoHash', () => peers.forEach((peer) => torrent.addPeer(peer)));
    torrent.on('warning', (error) => console.error(error.message ?? error));
    torrent.on('error', (error) => console.error(error.message ?? error));
}
const listening = () => console.log(JSON.stringify({ version: `webtorrent ${version}` }));
if (client.listening) listening();
else client.once('listening', listening);
process.stdin.resume();
process.stdin.on('end', () => process.exit());

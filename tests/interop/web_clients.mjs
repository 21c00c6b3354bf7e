// @ctrl/qbittorrent and @ctrl/transmission of npm, unmodified, against our APIs.
//
// web_clients.mjs URL PASSWORD TORRENT_FILE

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/web/package.json`);
const load = async (name) => import(pathToFileURL(require.resolve(name)).href);
const [url, password, path] = process.argv.slice(2);
const file = readFileSync(path);

async function until(what, done) {
  for (let tries = 0; tries < 400; tries += 1) {
    if (await done()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited for: ${what}`);
}

async function drive(client) {
  const added = await client.normalizedAddTorrent(file, { startPaused: true, label: 'films' });
  assert.equal(added.name, 'film.mkv');
  assert.equal(added.label, 'films');
  const { torrents, labels } = await client.getAllData();
  assert.equal(torrents.length, 1);
  assert.equal(labels[0]?.name, 'films');
  await until('paused', async () => (await client.getTorrent(added.id)).state === 'paused');
  await client.resumeTorrent(added.id);
  await until('resumed', async () => (await client.getTorrent(added.id)).state !== 'paused');
  await client.pauseTorrent(added.id);
  await until('paused again', async () => (await client.getTorrent(added.id)).state === 'paused');
  await client.removeTorrent(added.id, true);
  await until('removed', async () => (await client.getAllData()).torrents.length === 0);
}

const { QBittorrent } = await load('@ctrl/qbittorrent');
await drive(new QBittorrent({ baseUrl: url, username: 'admin', password }));
const { Transmission } = await load('@ctrl/transmission');
await drive(new Transmission({ baseUrl: url, username: 'admin', password }));
console.log('ok');

// One torrent: files, pieces, peers, trackers.

import { call } from './api.js';
import { ask, attempt, confirmMoney, field, h, table, text } from './dom.js';
import { STATES, amount, bytes, date, duration, fromKib, kib, percent, rate, toRaw } from './format.js';
import { state } from './store.js';
import { removeDialog } from './torrents.js';

export const title = 'Torrent';

/** Draws a bit a piece: what is there, in as many columns as there is room for. */
function drawPieces(canvas, base64, count) {
  const width = canvas.clientWidth || 600, height = 56;
  canvas.width = width;
  canvas.height = height;
  const paint = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  paint.fillStyle = style.getPropertyValue('--accent');
  const bits = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const has = (at) => (bits[at >> 3] << (at & 7)) & 0x80;
  for (let x = 0; x < width; x += 1) {
    const from = Math.floor((x * count) / width), to = Math.max(from + 1, Math.floor(((x + 1) * count) / width));
    let there = 0;
    for (let at = from; at < to; at += 1) if (has(at)) there += 1;
    const part = there / (to - from);
    paint.fillRect(x, height * (1 - part), 1, height * part);
  }
}

export function show(root, hash) {
  const facts = {};
  const card = (key, name) => { facts[key] = h('dd', null, '—'); return h('div', { class: 'card' }, h('dt', null, name), facts[key]); };
  const trouble = h('p', { class: 'bad', role: 'status' });
  const canvas = h('canvas', { role: 'img', 'aria-label': 'Pieces' });
  const files = table('Files', [['Download', ''], ['File', 'name'], ['Size', 'num'], ['Done', 'num']]);
  const peers = table('Peers', [['Address', ''], ['Client', 'name'], ['Has', 'num mid'], ['Down', 'num'], ['Up', 'num'], ['Pays you', 'num wide'], ['Costs you', 'num wide'], ['Waits for', 'wide']]);
  const trackers = table('Trackers', [['Tracker', 'name'], ['State', ''], ['Peers', 'num mid'], ['Last answer', 'wide'], ['Message', 'wide']]);
  const post = (path, done) => () => attempt(() => call('POST', `torrents/${hash}/${path}`), done);
  const toggle = h('button', { type: 'button', class: 'main' }, 'Pause');
  toggle.addEventListener('click', () => attempt(() => call('POST', `torrents/${hash}/${toggle.dataset.to}`)));
  const queue = (to) => () => attempt(() => call('POST', `torrents/${hash}/queue`, { to }), to === 'top' ? 'Its turn comes first.' : 'Its turn comes last.');
  const rename = async () => {
    const form = await ask('Rename', [field('Name (empty: its own)', { name: 'name', value: state.torrents.get(hash)?.name ?? '' })], 'Rename');
    if (form) await attempt(() => call('PATCH', `torrents/${hash}`, { name: form.get('name') || null }));
  };
  const limits = async () => {
    const now = state.torrents.get(hash)?.limits ?? {};
    const form = await ask('Limits', [
      field('Down, KiB/s (empty: no limit)', { name: 'down', type: 'number', min: '0', value: kib(now.down) }),
      field('Up, KiB/s (empty: no limit)', { name: 'up', type: 'number', min: '0', value: kib(now.up) }),
    ], 'Set');
    if (form) await attempt(() => call('PATCH', `torrents/${hash}`, { limits: { down: fromKib(form.get('down')), up: fromKib(form.get('up')) } }));
  };
  const move = async () => {
    const form = await ask('Move the files', [field('Folder', { name: 'folder', required: true, value: state.torrents.get(hash)?.folder ?? '' })], 'Move');
    if (form) await attempt(() => call('POST', `torrents/${hash}/move`, { folder: form.get('folder') }), 'Moved.');
  };
  const prices = () => attempt(async () => {
    const form = await ask('Price and bid', [
      field('Your price, BTT per GiB (empty: as for all, 0: free)', { name: 'ask', inputmode: 'decimal' }),
      field('Your bid, BTT per GiB (empty: as for all, 0: none)', { name: 'bid', inputmode: 'decimal' }),
    ], 'Set');
    if (!form) return;
    const raw = (name) => (form.get(name) ? toRaw(form.get(name)) : null);
    const wanted = { ask_raw: raw('ask'), bid_raw: raw('bid'), bid_auto: false };
    const given = wanted.bid_raw && wanted.bid_raw !== '0' ? await confirmMoney(call, `Bid ${amount(wanted.bid_raw)} per GiB?`) : {};
    if (given) await call('PATCH', `torrents/${hash}`, { prices: wanted }, given.confirm);
  });
  const remove = async () => { if (await removeDialog([hash])) location.hash = '#/torrents'; };
  const button = (name, onclick, kind) => h('button', { type: 'button', class: kind, onclick }, name);
  root.append(trouble,
    h('div', { class: 'bar' }, toggle, button('Verify again', post('recheck', 'Verifying.')), button('Rename…', rename), button('Limits…', limits), button('Price…', prices), button('Move…', move), button('Put first', queue('top')), button('Put last', queue('bottom')), button('Remove…', remove, 'bad')),
    h('dl', { class: 'cards' }, card('state', 'State'), card('done', 'Done'), card('rates', 'Down and up'), card('ratio', 'Ratio'), card('money', 'Earned and spent'), card('price', 'Price and bid'), card('time', 'Seeded for'), card('added', 'Added')),
    h('h2', null, 'Pieces'), canvas,
    h('h2', null, 'Files'), files.element,
    h('h2', null, 'Peers'), peers.element,
    h('h2', null, 'Trackers'), trackers.element);
  // Left out, or how soon. What was not taken is shown as it was.
  const choice = (file) => (file.wanted ? file.priority : 'no');
  const choose = (list, file) => async (event) => {
    const to = event.target.value, wanted = to !== 'no';
    const change = wanted ? { priorities: { [file.index]: to } } : {};
    if (wanted !== file.wanted) change.files = list.filter((one) => (one === file ? wanted : one.wanted)).map((one) => one.index);
    if (await attempt(() => call('PATCH', `torrents/${hash}`, change).then(() => true)) === undefined) event.target.value = choice(file);
  };
  const chooser = (list, file) => {
    const select = h('select', { 'aria-label': `Download ${file.path}`, onchange: choose(list, file) },
      [['high', 'first'], ['normal', 'normal'], ['low', 'last'], ['no', 'no']].map(([value, name]) => h('option', { value }, name)));
    select.value = choice(file);
    return select;
  };
  // A list that is open stays open while the file grows: only what is done is another text.
  let done = [], choices = '';
  const showFiles = (list) => {
    const now = JSON.stringify(list.map((file) => [file.path, choice(file)]));
    if (now !== choices) {
      choices = now;
      done = list.map(() => h('span'));
      files.show(list.map((file, at) => [chooser(list, file), file.path, bytes(file.size), done[at]]));
    }
    list.forEach((file, at) => text(done[at], percent(file.have, file.size || 1)));
  };
  const price = (raw) => (raw === null ? 'as for all' : raw === '0' ? 'free' : `${amount(raw)}/GiB`);
  let last = {};
  return () => {
    const row = state.torrents.get(hash), details = state.details;
    if (!row) { text(trouble, 'This torrent is not in the list.'); return; }
    text(root.querySelector('h1'), row.name);
    text(trouble, row.trouble ?? '');
    text(toggle, row.state === 'paused' || row.state === 'failed' ? 'Resume' : 'Pause');
    toggle.dataset.to = row.state === 'paused' || row.state === 'failed' ? 'resume' : 'pause';
    text(facts.state, STATES[row.state]);
    text(facts.done, `${percent(row.wanted - row.left, row.wanted)} of ${bytes(row.wanted)}`);
    text(facts.rates, `${rate(row.down_rate)}, ${rate(row.up_rate)}`);
    text(facts.ratio, `${(row.ratio_permille / 1000).toFixed(2)} (${bytes(row.uploaded)} sent)`);
    text(facts.money, `${amount(row.earned_raw)}, ${amount(row.spent_raw)}`);
    text(facts.price, `${price(row.prices.ask_raw)}, ${price(row.prices.bid_raw)}`);
    text(facts.time, duration(row.seeding_secs));
    text(facts.added, date(row.added));
    if (!details) return;
    if (details.pieces !== last.pieces) {
      drawPieces(canvas, details.pieces ?? '', row.pieces);
      canvas.setAttribute('aria-label', `Pieces: ${row.pieces_have} of ${row.pieces} are there`);
    }
    if (details.files !== last.files && details.files) showFiles(details.files);
    if (details.peers !== last.peers && details.peers) {
      peers.show(details.peers.map((peer) => [
        peer.addr, peer.client ?? '', `${Math.floor(peer.progress_permille / 10)}%`, rate(peer.down_rate), rate(peer.up_rate),
        peer.paid?.sale_price_raw ? `${amount(peer.paid.sale_price_raw)}/GiB` : '', peer.paid?.purchase_price_raw ? `${amount(peer.paid.purchase_price_raw)}/GiB` : '', peer.paid?.held ?? '']));
    }
    if (details.trackers !== last.trackers && details.trackers) {
      trackers.show(details.trackers.map((one) => [
        one.url, { waiting: 'waiting', works: 'works', failed: 'failed' }[one.state], one.peers === null ? '' : String(one.peers), one.answered ? date(one.answered) : '', one.message ?? '']));
    }
    last = details;
  };
}

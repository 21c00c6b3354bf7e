// Settings: limits of all torrents together, and what is in force.

import { call } from './api.js';
import { attempt, field, h, text } from './dom.js';
import { amount, bytes, fromKib, kib, rate } from './format.js';
import { state } from './store.js';

export const title = 'Settings';

export function show(root) {
  const down = field('Down, KiB/s (empty: no limit)', { name: 'all-down', type: 'number', min: '0' });
  const up = field('Up, KiB/s (empty: no limit)', { name: 'all-up', type: 'number', min: '0' });
  const values = [down, up].map((one) => one.querySelector('input'));
  const save = async (event) => {
    event.preventDefault();
    await attempt(() => call('PUT', 'limits', { down: fromKib(values[0].value), up: fromKib(values[1].value) }), 'Saved.');
  };
  const facts = h('dl', { class: 'cards' });
  const out = async () => { await attempt(() => call('DELETE', 'session')); location.reload(); };
  root.append(h('h2', null, 'Limits of all torrents together'),
    h('form', { onsubmit: save }, down, up, h('button', { class: 'main' }, 'Save')),
    h('h2', null, 'In force'), facts,
    h('p', { class: 'soft' }, 'Everything else is in ', h('code', null, 'config.toml'), '; ', h('code', null, 'seedrail config'), ' says where each setting comes from.'),
    h('button', { type: 'button', onclick: out }, 'Log out'));
  let seen = null, shown = null;
  return () => {
    const { transfer, disks } = state;
    if (!transfer) return;
    const limits = JSON.stringify(transfer.limits);
    if (limits !== seen) {
      seen = limits;
      values[0].value = kib(transfer.limits.down);
      values[1].value = kib(transfer.limits.up);
    }
    const mapping = { off: 'not asked', trying: 'being asked', mapped: `open by ${transfer.port_mapping.by}`, failed: transfer.port_mapping.reason }[transfer.port_mapping.state];
    const price = (raw) => (raw && raw !== '0' ? `${amount(raw)}/GiB` : 'free');
    const limit = (most) => (most === null ? 'without a limit' : rate(most));
    const rows = [
      ['Listens for peers at', transfer.listen.endsWith(':0') ? 'nowhere: behind a proxy nobody can connect' : transfer.listen], ['Port on the router', mapping],
      ...(transfer.scheduled_limits ? [['Limits at this time of day', `down ${limit(transfer.scheduled_limits.down)}, up ${limit(transfer.scheduled_limits.up)}`]] : []),
      ['DHT', transfer.dht_nodes === null ? 'off' : `${transfer.dht_nodes} nodes`],
      ['Price of torrents without their own', price(transfer.prices.ask_raw)], ['Bid', price(transfer.prices.bid_raw)],
      ...(disks?.disks ?? []).map((disk) => [disk.folder, disk.free === null ? '—' : `${bytes(disk.free)} free`]),
    ];
    const key = JSON.stringify(rows);
    if (key === shown) return;
    shown = key;
    facts.replaceChildren(...rows.map(([name, value]) => {
      const dd = h('dd');
      text(dd, String(value));
      return h('div', { class: 'card' }, h('dt', null, name), dd);
    }));
  };
}

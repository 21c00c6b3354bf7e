// Log: what happened.

import { call } from './api.js';
import { attempt, h } from './dom.js';
import { amount, date } from './format.js';
import { listenEvents } from './store.js';

export const title = 'Log';

const MOST = 100;

const WORDS = {
  added: (one) => `added ${one.name}`,
  removed: (one) => `removed ${one.name}`,
  completed: (one) => `completed ${one.name}`,
  goal_reached: (one) => `${one.name} was shared enough and is paused`,
  failed: (one) => `${one.name} cannot go on: ${one.reason}`,
  peer_banned: (one) => `peer ${one.peer} is banned: ${one.reason}`,
  tracker_failed: (one) => `tracker ${one.url}: ${one.message}`,
  tracker_warned: (one) => `tracker ${one.url} warns: ${one.message}`,
  web_seed_failed: (one) => `web seed ${one.url}: ${one.message}`,
  disk_refused: (one) => one.message,
  settled: (one) => `paid ${amount(one.total_raw)} of debts to ${one.payouts} ${one.payouts === 1 ? 'peer' : 'peers'}`,
  problem: (one) => `${one.message} ${one.hint}`,
  problem_over: (one) => `solved: ${one.code.replaceAll('_', ' ')}`,
  resync: () => 'some events were missed',
};

export function show(root) {
  const list = h('ol', { class: 'log', reversed: true });
  root.append(h('p', { class: 'soft' }, 'The newest first.'), list);
  const line = (event) => h('li', null, h('time', { datetime: new Date(event.at).toISOString() }, date(event.at)), (WORDS[event.event] ?? ((one) => one.event))(event));
  const stop = listenEvents((event) => {
    list.prepend(line(event));
    if (list.children.length > MOST) list.lastChild.remove();
  });
  attempt(async () => {
    const rows = await call('GET', 'log');
    list.replaceChildren(...rows.slice(-MOST).reverse().map(line));
  });
  const update = () => {};
  update.close = stop;
  return update;
}

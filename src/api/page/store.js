// What the client looks like: kept up to date by one stream of events.

import { call, streamUrl } from './api.js';

/** The newest state. Parts that are not known yet are null. */
export const state = {
  revision: 0, at: 0, torrents: new Map(), transfer: null, labels: null, money: null, disks: null,
  problems: null, details: null,
  /** Rates of the last minutes: [down, up], one a second. */
  rates: [],
};

const listeners = new Set();
const happenings = new Set();
let source = null, of = null, lastRate = 0;

/** Calls back after each change; the answer stops that. */
export function listen(action) { listeners.add(action); return () => listeners.delete(action); }

/** Calls back for each event. */
export function listenEvents(action) { happenings.add(action); return () => happenings.delete(action); }

/** Takes a difference. */
export function apply(changes) {
  const touched = new Set();
  let members = changes.full;
  if (changes.full) state.torrents.clear();
  for (const row of changes.torrents) {
    if (!state.torrents.has(row.info_hash)) members = true;
    state.torrents.set(row.info_hash, row);
    touched.add(row.info_hash);
  }
  for (const hash of changes.removed) members = state.torrents.delete(hash) || members;
  for (const part of ['transfer', 'labels', 'money', 'disks', 'problems']) {
    if (changes[part]) state[part] = changes[part];
  }
  if (changes.torrent && changes.torrent.info_hash === of) {
    state.details = { ...(state.details?.info_hash === of ? state.details : {}), ...changes.torrent };
  }
  state.revision = changes.revision;
  state.at = changes.at;
  if (state.transfer && changes.at - lastRate >= 1000) {
    lastRate = changes.at;
    state.rates.push([state.transfer.down_rate, state.transfer.up_rate]);
    if (state.rates.length > 300) state.rates.shift();
  }
  for (const action of listeners) action({ touched, members });
}

/** Opens the stream; `status` is told in words whether it is there. */
export function connect(status) {
  source?.close();
  source = new EventSource(streamUrl(null, of));
  status('connecting');
  source.addEventListener('changes', (message) => {
    apply(JSON.parse(message.data));
    status('live');
  });
  source.addEventListener('happened', (message) => {
    const event = JSON.parse(message.data);
    for (const action of happenings) action(event);
  });
  source.addEventListener('error', () => {
    status('connection lost, trying again');
    // A stream that was refused does not try again: the reason comes with a request.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => call('GET', 'session').then((who) => {
        if (who.logged_in) connect(status); else call('GET', 'problems').catch(() => {});
      }).catch(() => connect(status)), 3000);
    }
  });
}

/** Wants the parts of one torrent, too; null: of none. */
export function follow(hash, status) {
  if (of === hash) return;
  of = hash;
  state.details = null;
  if (source) connect(status);
}

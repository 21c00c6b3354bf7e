// Start: log in, choose the screen, keep it up to date.

import { call, whenLoggedOut } from './api.js';
import { ask, field, h, note, text } from './dom.js';
import { connect, follow, listen } from './store.js';
import * as overview from './overview.js';
import * as torrents from './torrents.js';
import * as torrent from './torrent.js';
import * as people from './people.js';
import * as money from './money.js';
import * as wallet from './wallet.js';
import * as settings from './settings.js';
import * as log from './log.js';

const SCREENS = { overview, torrents, people, money, wallet, settings, log };
const main = document.getElementById('main');
const nav = document.getElementById('nav');
const status = (words) => text(document.getElementById('link'), words);

let update = null;

function screen() {
  const [name, hash] = location.hash.replace(/^#\/?/, '').split('/');
  if (name === 'torrents' && /^[0-9a-f]{40}$/.test(hash ?? '')) return [torrent, 'torrents', hash];
  return SCREENS[name] ? [SCREENS[name], name, null] : [overview, 'overview', null];
}

function open(first) {
  const [module, name, hash] = screen();
  update?.close?.();
  main.replaceChildren(h('h1', null, module.title));
  document.title = `${module.title} – Seedrail`;
  for (const link of nav.children) {
    if (link.dataset.name === name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  follow(hash, status);
  update = module.show(main, hash);
  update({ touched: new Set(), members: true });
  if (!first) main.focus();
}

let asking = false;
async function logIn() {
  if (asking) return;
  asking = true;
  for (;;) {
    const who = await call('GET', 'session').catch(() => null);
    if (who?.logged_in) break;
    const form = await ask('Log in', [
      who?.password === false
        ? h('p', null, 'No password is set. Use the token that the first start has printed, or make one.')
        : field('Password of admin', { name: 'password', type: 'password', autocomplete: 'current-password' }),
      field('Or a token', { name: 'token', type: 'password' }),
    ], 'Log in');
    if (!form) continue;
    const body = form.get('token') ? { token: form.get('token') } : { password: form.get('password') };
    try {
      await call('POST', 'session', body);
    } catch (error) {
      note(error.message);
    }
  }
  asking = false;
  connect(status);
}

async function start() {
  nav.append(...Object.entries(SCREENS).map(([name, module]) => h('a', { href: `#/${name}`, 'data-name': name }, module.title)));
  // The address that the first start prints: the token leaves the address at once.
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    history.replaceState(null, '', location.pathname);
    await call('POST', 'session', { token: given[1] }).catch((error) => note(error.message));
  }
  whenLoggedOut(logIn);
  listen((what) => update?.(what));
  addEventListener('hashchange', () => open(false));
  open(true);
  await logIn();
}

start();

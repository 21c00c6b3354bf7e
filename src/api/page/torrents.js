// Torrents: all of them, and adding more.

import { call } from './api.js';
import { ask, attempt, field, h, note, text } from './dom.js';
import { STATES, amount, bytes, count, duration, fromKib, percent, rate } from './format.js';
import { state } from './store.js';
import { BigTable } from './table.js';

export const title = 'Torrents';

const FILTERS = {
  all: ['All', () => true],
  downloading: ['Downloading', (row) => !row.complete],
  complete: ['Complete', (row) => row.complete],
  active: ['Moving', (row) => row.down_rate + row.up_rate > 0],
  paused: ['Paused', (row) => row.state === 'paused'],
  queued: ['Waiting', (row) => row.state === 'queued'],
  trouble: ['In trouble', (row) => row.trouble !== null],
};

const put = (of) => (row, cell) => text(cell, of(row));
const some = (raw) => (raw === '0' ? '' : amount(raw));
const done = (row) => row.wanted - row.left;

const COLUMNS = [
  { key: 'name', title: 'Name', kind: 'name', sort: (row) => row.name.toLowerCase(), cell: (row, cell) => {
    let link = cell.firstChild;
    if (!link) { link = h('a', { href: '' }); cell.append(link); }
    const to = `#/torrents/${row.info_hash}`;
    if (link.getAttribute('href') !== to) link.setAttribute('href', to);
    text(link, row.name);
    cell.title = row.name;
  } },
  { key: 'done', title: 'Done', kind: '', sort: (row) => (row.wanted ? done(row) / row.wanted : 0), cell: (row, cell) => {
    let bar = cell.firstChild;
    if (!bar) { bar = h('progress', { max: 1000, value: 0, 'aria-label': 'Done' }); cell.append(bar, h('span', { class: 'wide' })); }
    const value = row.checked_permille ?? (row.wanted ? Math.floor((done(row) * 1000) / row.wanted) : 0);
    if (bar.value !== value) bar.value = value;
    text(cell.lastChild, ` ${percent(done(row), row.wanted)}`);
  } },
  { key: 'state', title: 'State', kind: 'mid', sort: (row) => row.state, cell: put((row) => STATES[row.state]) },
  { key: 'place', title: 'Place', kind: 'num wide', sort: (row) => row.place, cell: put((row) => String(row.place)) },
  { key: 'size', title: 'Size', kind: 'num wide', sort: (row) => row.wanted, cell: put((row) => bytes(row.wanted)) },
  { key: 'down', title: 'Down', kind: 'num', sort: (row) => row.down_rate, cell: put((row) => (row.down_rate ? rate(row.down_rate) : '')) },
  { key: 'up', title: 'Up', kind: 'num', sort: (row) => row.up_rate, cell: put((row) => (row.up_rate ? rate(row.up_rate) : '')) },
  { key: 'eta', title: 'Left', kind: 'num wide', sort: (row) => row.eta_secs ?? Infinity, cell: put((row) => (row.complete ? '' : duration(row.eta_secs))) },
  { key: 'peers', title: 'Peers', kind: 'num wide', sort: (row) => row.peers, cell: put((row) => String(row.peers)) },
  { key: 'ratio', title: 'Ratio', kind: 'num wide', sort: (row) => row.ratio_permille, cell: put((row) => (row.ratio_permille / 1000).toFixed(2)) },
  { key: 'earned', title: 'Earned', kind: 'num wide', sort: (row) => Number(row.earned_raw), cell: put((row) => some(row.earned_raw)) },
  { key: 'spent', title: 'Spent', kind: 'num wide', sort: (row) => Number(row.spent_raw), cell: put((row) => some(row.spent_raw)) },
];
const MOVING = new Set(['done', 'down', 'up', 'eta', 'peers', 'ratio', 'earned', 'spent', 'state']);

async function addFiles(files) {
  for (const file of files) {
    await attempt(async () => {
      const { known } = await call('POST', 'torrents', new Blob([file], { type: 'application/x-bittorrent' }));
      note(known ? `${file.name} is in the list already.` : `Added ${file.name}.`);
    });
  }
}

async function addLinks(texts, more) {
  for (const link of texts.split(/\s+/).filter(Boolean)) {
    await attempt(async () => {
      const { known } = await call('POST', 'torrents', { link, ...more });
      note(known ? 'It is in the list already.' : 'Added.');
    });
  }
}

async function addDialog() {
  const form = await ask('Add torrents', [
    field('Magnet links or info-hashes', { name: 'links' }),
    field('Torrent files', { name: 'files', type: 'file', multiple: true, accept: '.torrent,application/x-bittorrent' }),
    field('Folder (empty: the usual one)', { name: 'folder' }),
    field('Category', { name: 'category' }),
    h('p', null, h('label', { for: 'f-paused' }, h('input', { id: 'f-paused', name: 'paused', type: 'checkbox' }), 'Paused')),
  ], 'Add');
  if (!form) return;
  const more = {};
  if (form.get('folder')) more.folder = form.get('folder');
  if (form.get('category')) more.category = form.get('category');
  if (form.get('paused')) more.paused = true;
  await addLinks(form.get('links'), more);
  const files = form.getAll('files').filter((file) => file.size > 0);
  if (Object.keys(more).length === 0) return addFiles(files);
  for (const file of files) {
    const bytesOf = new Uint8Array(await file.arrayBuffer());
    let binary = '';
    for (const byte of bytesOf) binary += String.fromCharCode(byte);
    await attempt(() => call('POST', 'torrents', { file: btoa(binary), ...more }), `Added ${file.name}.`);
  }
}

export async function removeDialog(hashes) {
  const form = await ask(`Remove ${count(hashes.length, 'torrent')}?`, [
    h('p', null, h('label', { for: 'f-data' }, h('input', { id: 'f-data', name: 'data', type: 'checkbox' }), 'Also delete the files that were downloaded')),
  ], 'Remove', true);
  if (!form) return false;
  for (const hash of hashes) await attempt(() => call('DELETE', `torrents/${hash}?data=${Boolean(form.get('data'))}`));
  return true;
}

export async function limitsDialog(hashes) {
  const form = await ask('Limits', [
    field('Down, KiB/s (empty: no limit)', { name: 'down', type: 'number', min: '0' }),
    field('Up, KiB/s (empty: no limit)', { name: 'up', type: 'number', min: '0' }),
  ], 'Set');
  if (!form) return;
  const limits = { down: fromKib(form.get('down')), up: fromKib(form.get('up')) };
  for (const hash of hashes) await attempt(() => call('PATCH', `torrents/${hash}`, { limits }));
}

export function show(root) {
  let filter = 'all', words = '', category = '';
  const chosenText = h('span', { class: 'soft' });
  const table = new BigTable('Torrents', COLUMNS, {
    open: (hash) => { location.hash = `#/torrents/${hash}`; },
    select: (chosen) => {
      text(chosenText, chosen.size ? `${chosen.size} selected` : '');
      for (const button of actions) button.disabled = chosen.size === 0;
    },
  });
  const each = (path) => async () => {
    for (const hash of [...table.chosen]) await attempt(() => call('POST', `torrents/${hash}/${path}`));
  };
  const action = (name, onclick, kind) => h('button', { type: 'button', class: kind, disabled: true, onclick }, name);
  const actions = [
    action('Resume', each('resume')), action('Pause', each('pause')),
    action('Limits…', () => limitsDialog([...table.chosen])),
    action('Remove…', () => removeDialog([...table.chosen]), 'bad'),
  ];
  const select = h('select', { 'aria-label': 'Filter', onchange: (event) => { filter = event.target.value; refresh(); } },
    Object.entries(FILTERS).map(([key, [name]]) => h('option', { value: key }, name)));
  const categories = h('select', { 'aria-label': 'Category', onchange: (event) => { category = event.target.value; refresh(); } });
  const search = h('input', { type: 'search', placeholder: 'Search', 'aria-label': 'Search names', oninput: (event) => { words = event.target.value.toLowerCase(); refresh(); } });
  root.append(
    h('div', { class: 'bar' }, h('button', { type: 'button', class: 'main', onclick: addDialog }, 'Add…'), actions, chosenText),
    h('div', { class: 'bar' }, search, select, categories),
    table.element,
    h('p', { class: 'soft' }, 'Drop torrent files here, or paste a magnet link.'));
  const wanted = (row) => FILTERS[filter][1](row) && (!category || row.category === category) && (!words || row.name.toLowerCase().includes(words));
  const refresh = () => table.set([...state.torrents.values()].filter(wanted));

  const drop = (event) => {
    event.preventDefault();
    root.classList.remove('dropping');
    if (event.type !== 'drop') { root.classList.add('dropping'); return; }
    if (event.dataTransfer.files.length) addFiles([...event.dataTransfer.files]);
    else addLinks(event.dataTransfer.getData('text'));
  };
  const leave = () => root.classList.remove('dropping');
  const paste = (event) => {
    if (event.target.closest?.('input, dialog')) return;
    const pasted = event.clipboardData.getData('text');
    if (/^magnet:|^[0-9a-fA-F]{40}$/.test(pasted.trim())) addLinks(pasted);
  };
  root.addEventListener('dragover', drop);
  root.addEventListener('drop', drop);
  root.addEventListener('dragleave', leave);
  document.addEventListener('paste', paste);

  let sorted = 0, known = null;
  const update = ({ touched, members }) => {
    if (state.labels !== known) {
      known = state.labels;
      categories.replaceChildren(h('option', { value: '' }, 'All categories'), ...Object.keys(known?.categories ?? {}).map((name) => h('option', { value: name }, name)));
      categories.value = category;
    }
    // Rows change places once a second at most, and not at all while the order cannot change.
    const moves = filter !== 'all' || MOVING.has(table.order.key);
    if (members || (moves && state.at - sorted >= 1000)) {
      sorted = state.at;
      refresh();
    } else table.update(state.torrents, touched);
  };
  refresh();
  update.close = () => {
    table.close();
    root.removeEventListener('dragover', drop);
    root.removeEventListener('drop', drop);
    root.removeEventListener('dragleave', leave);
    document.removeEventListener('paste', paste);
  };
  return update;
}

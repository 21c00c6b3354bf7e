// Overview: what was earned, what is owed, what moves, what needs a hand.

import { call } from './api.js';
import { h, table, text } from './dom.js';
import { amount, bytes, count, date, rate } from './format.js';
import { state } from './store.js';

export const title = 'Overview';

const sum = (list, key) => list.reduce((all, one) => all + BigInt(one[key]), 0n);

export function show(root) {
  const cells = {};
  const card = (key, name) => {
    cells[key] = h('dd', null, '—');
    return h('div', { class: 'card' }, h('dt', null, name), cells[key]);
  };
  const down = h('polyline', { class: 'down' }), up = h('polyline', { class: 'up' });
  const caption = h('title', { id: 'plot-title' }, 'Rates of the last five minutes');
  const problems = h('ul', { class: 'problems' });
  root.append(
    h('dl', { class: 'cards' },
      card('earned', 'Earned today'), card('owed', 'Waiting to be paid to you'), card('owe', 'You owe'),
      card('down', 'Down now'), card('up', 'Up now'), card('free', 'Free transfers left today'),
      card('torrents', 'Torrents'), card('disk', 'Free disk space')),
    h('h2', { id: 'needs' }, 'Needs you'), problems,
    h('h2', null, 'Rates'),
    h('svg', { class: 'plot', viewBox: '0 0 300 100', preserveAspectRatio: 'none', role: 'img', 'aria-labelledby': 'plot-title' }, caption, down, up),
    h('p', { class: 'soft' }, 'Line: down. Dashes: up. The last five minutes.'));
  const perDay = h('title', { id: 'days-title' }, 'BTT a day'), earned = h('path', { class: 'earned' }), spent = h('path', { class: 'spent' });
  const days = table('By day', [['Day (UTC)', ''], ['Received', 'num'], ['Sent', 'num'], ['Earned', 'num'], ['Spent', 'num']]);
  root.append(h('h2', null, 'By day'),
    h('svg', { class: 'plot', viewBox: '0 0 300 100', preserveAspectRatio: 'none', role: 'img', 'aria-labelledby': 'days-title' }, perDay, earned, spent),
    h('p', { class: 'soft' }, 'BTT on each of the last fourteen days. Filled: earned. Outlined: spent.'), days.element, h('p', null, h('a', { href: 'api/v1/days.csv', download: '' }, 'All days as CSV')));
  let lastProblems = null, asked = 0;
  // What was earned today when the days were read, and what the session had earned by then.
  let today = null, before = null;
  const bar = (raw, most, at, of) => {
    const width = 300 / 14, height = most === 0n ? 0 : Number((BigInt(raw) * 9400n) / most) / 100;
    return `M${at * width + of * width * 0.4 + width * 0.1} 98v${-height}h${width * 0.38}v${height}z`;
  };
  const draw = (rows) => {
    const last = rows.slice(-14), values = last.flatMap((one) => [BigInt(one.earned_raw), BigInt(one.spent_raw)]);
    const most = values.reduce((all, one) => (one > all ? one : all), 0n);
    // The newest day is at the right; a day without any traffic has no row.
    const newest = rows.at(-1)?.day ?? 0;
    const path = (key, of) => last.filter((one) => newest - one.day < 14).map((one) => bar(one[key], most, 13 - (newest - one.day), of)).join('');
    earned.setAttribute('d', path('earned_raw', 0));
    spent.setAttribute('d', path('spent_raw', 1));
    text(perDay, `BTT on each of the last fourteen days: earned ${amount(sum(last, 'earned_raw'))}, spent ${amount(sum(last, 'spent_raw'))}`);
  };
  const showEarned = (money) => {
    if (!money || today === null) return;
    before ??= BigInt(money.session_earned_raw);
    text(cells.earned, amount(today + BigInt(money.session_earned_raw) - before));
  };
  const askDays = async () => {
    try {
      const rows = await call('GET', 'days');
      const date = new Date(state.at || Date.now()).toISOString().slice(0, 10);
      today = BigInt(rows.find((one) => one.date === date)?.earned_raw ?? 0);
      before = null;
      showEarned(state.money);
      draw(rows);
      days.show(rows.slice(-14).reverse().map((one) => [one.date, bytes(one.downloaded), bytes(one.uploaded), amount(one.earned_raw), amount(one.spent_raw)]));
    } catch { asked = Date.now() - 50000; }
  };
  return () => {
    if (Date.now() - asked > 60000) { asked = Date.now(); askDays(); }
    const { transfer, money, disks } = state;
    if (transfer) {
      text(cells.down, rate(transfer.down_rate));
      text(cells.up, rate(transfer.up_rate));
      text(caption, `Rates of the last five minutes: down ${rate(transfer.down_rate)}, up ${rate(transfer.up_rate)} now`);
    }
    if (money) {
      showEarned(money);
      text(cells.owed, amount(sum(money.positions, 'owes_us_raw')));
      text(cells.owe, amount(sum(money.positions, 'we_owe_raw')));
      // A transfer of BTT takes about 280 bytes of bandwidth.
      const left = money.balance ? Math.floor(money.balance.bandwidth_left / 280) : null;
      text(cells.free, left === null ? '—' : `about ${left}`);
    } else {
      for (const key of ['earned', 'owed', 'owe', 'free']) text(cells[key], 'payments are off');
    }
    const rows = [...state.torrents.values()];
    text(cells.torrents, `${rows.length}, ${rows.filter((row) => row.complete).length} complete`);
    const disk = disks?.disks.find((one) => one.folder === disks.folder);
    text(cells.disk, disk?.free === null || disk === undefined ? '—' : bytes(disk.free));
    const most = Math.max(1, ...state.rates.flat());
    const line = (at) => state.rates.map((pair, x) => `${x + 300 - state.rates.length},${98 - (pair[at] / most) * 94}`).join(' ');
    down.setAttribute('points', line(0));
    up.setAttribute('points', line(1));
    const list = state.problems?.problems ?? [];
    const key = JSON.stringify(list);
    if (key !== lastProblems) {
      lastProblems = key;
      problems.replaceChildren(...(list.length === 0 ? [h('li', null, 'Nothing. Everything runs.')] : list.map((one) => h('li', null,
        h('b', null, one.message), one.hint, h('div', { class: 'soft' }, `since ${date(one.since)}`)))));
      text(document.getElementById('needs'), list.length === 0 ? 'Needs you' : `Needs you: ${count(list.length, 'thing')}`);
    }
  };
}

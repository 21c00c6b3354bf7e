// The page in Chromium: each screen, without an accessibility fault, at two sizes and in two
// colours; adding, changing and removing a torrent; thousands of rows.
//
// web_page.mjs URL PASSWORD TORRENT_FILE

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/web/package.json`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [url, password, path] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
// The checker is put into the page by the browser itself: the page's own rules forbid it.
const context = await browser.newContext({ bypassCSP: true, viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
const faults = [];
page.on('pageerror', (error) => faults.push(String(error)));
// A refusal that is meant is logged by the browser, too.
page.on('console', (message) => { if (message.type() === 'error' && !/40[0-9]/.test(message.text())) faults.push(message.text()); });
page.on('request', (request) => { if (!request.url().startsWith(url)) faults.push(`a request to ${request.url()}`); });

const check = async (what) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const found = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`);
  assert.deepEqual(found, [], what);
};

// Logging in: a wrong password is told, the right one opens.
await page.goto(url);
await page.getByRole('dialog').waitFor();
await check('log in');
await page.getByLabel('Password of admin').fill('wrong password');
await page.getByRole('button', { name: 'Log in' }).click();
await page.getByText('the user name or the password is wrong').waitFor();
await page.getByLabel('Password of admin').fill(password);
await page.getByRole('button', { name: 'Log in' }).click();
await page.getByText('live').waitFor();

// A torrent by the dialog.
await page.getByRole('link', { name: 'Torrents' }).click();
await page.getByRole('button', { name: 'Add…' }).click();
await check('add');
await page.getByLabel('Torrent files').setInputFiles(path);
await page.getByLabel('Paused').check();
await page.getByRole('button', { name: 'Add', exact: true }).click();
const link = page.getByRole('link', { name: 'film.mkv' });
await link.waitFor();
await page.getByRole('gridcell', { name: 'paused' }).waitFor();

// Each screen, in light and dark, wide and narrow: nothing sticks out, no fault.
const screens = ['Overview', 'Torrents', 'People', 'Money', 'Wallet', 'Settings', 'Log'];
for (const [scheme, width] of [['light', 1280], ['dark', 360]]) {
  await page.emulateMedia({ colorScheme: scheme });
  await page.setViewportSize({ width, height: 740 });
  for (const name of screens) {
    await page.getByRole('link', { name, exact: true }).click();
    await page.getByRole('heading', { level: 1, name }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'the focus is at the new screen');
    await check(`${name}, ${scheme}, ${width}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${name} is ${wide} pixels too wide at ${width}`);
  }
}
await page.emulateMedia({ colorScheme: 'light' });
await page.setViewportSize({ width: 1280, height: 800 });

// By keyboard: to the table, down, open.
await page.getByRole('link', { name: 'Torrents', exact: true }).click();
await page.getByRole('region', { name: /Torrents/ }).focus();
await page.keyboard.press('ArrowDown');
await page.keyboard.press('Enter');
await page.getByRole('heading', { level: 1, name: 'film.mkv' }).waitFor();
// A file first, and as it is told by the server after loading the page anew.
const soon = page.getByRole('combobox', { name: 'Download film.mkv' });
await soon.selectOption('first');
await page.reload();
await page.waitForFunction(() => document.querySelector('[aria-label="Download film.mkv"]')?.value === 'high');
// The last wanted file cannot be left out: the server's word, and what is shown stays.
await soon.selectOption('no');
await page.getByText('no file').first().waitFor();
assert.equal(await soon.inputValue(), 'high');
await check('torrent');
await page.getByRole('button', { name: 'Rename…' }).click();
await page.getByLabel('Name (empty: its own)').fill('<b>A film</b>');
await page.getByRole('button', { name: 'Rename', exact: true }).click();
// Text is text.
await page.getByRole('heading', { level: 1, name: '<b>A film</b>' }).waitFor();
await page.getByRole('button', { name: 'Resume' }).click();
await page.getByRole('button', { name: 'Pause' }).waitFor();

// Thousands of rows: few in the document, and a difference is quick.
await page.getByRole('link', { name: 'Torrents', exact: true }).click();
await page.getByRole('heading', { level: 1, name: 'Torrents' }).waitFor();
// Now the stream is read anew: without the parts of one torrent.
await page.getByText('live').waitFor();
await page.getByRole('progressbar').first().waitFor();
assert.equal(await page.evaluate(() => document.querySelector('progress').position), 0, 'nothing is done, and that is known');
const measured = await page.evaluate(async () => {
  const { apply, state } = await import(new URL('page/store.js', document.baseURI));
  const [one] = state.torrents.values();
  const row = (n) => ({ ...one, info_hash: n.toString(16).padStart(40, '0'), name: `Torrent ${n}`, down_rate: n % 7, state: 'downloading' });
  const changes = (torrents) => ({ revision: state.revision, full: false, at: state.at + 1000, torrents, removed: [] });
  apply(changes(Array.from({ length: 5000 }, (_, n) => row(n + 1))));
  await new Promise(requestAnimationFrame);
  // What this machine does in the same page: sorting numbers.
  const calibrate = () => {
    const start = performance.now();
    for (let turn = 0; turn < 20; turn += 1) Array.from({ length: 5000 }, (_, n) => (n * 7919) % 5003).sort((a, b) => a - b);
    return performance.now() - start;
  };
  calibrate();
  const base = calibrate();
  const times = [];
  for (let turn = 0; turn < 41; turn += 1) {
    const delta = changes(Array.from({ length: 200 }, (_, n) => ({ ...row(n * 25 + 1), down_rate: turn })));
    delta.at = state.at;
    const start = performance.now();
    apply(delta);
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return { rows: document.querySelectorAll('tbody tr').length, median: times[20], base };
});
console.error(`a difference of 200 of 5,000 torrents: ${measured.median.toFixed(2)} ms, calibration ${measured.base.toFixed(2)} ms, ${measured.rows} rows`);
assert.ok(measured.rows > 15 && measured.rows <= 120, `${measured.rows} rows are in the document`);
assert.ok(measured.median <= Math.max(8, measured.base), `a difference takes ${measured.median} ms`);

// The QR code is the one that another program makes.
const qr = await page.evaluate(async () => {
  const { matrix } = await import(new URL('page/qr.js', document.baseURI));
  return matrix('TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC').map((row) => `${row.join('')}\n`).join('');
});
assert.equal(qr, readFileSync(new URL('../../fixtures/api/qr.txt', import.meta.url), 'utf8'));

// Screens of money, with money: nothing is bought here, so the page is told of some.
await page.evaluate(async () => {
  const { apply, state } = await import(new URL('page/store.js', document.baseURI));
  const account = 'TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC', hour = 3600e3;
  const money = {
    account, token: '1002000', session_spent_raw: '0', session_earned_raw: '1234567', policy: { mode: 'up_to', day_raw: '5000000' },
    balance: { activated: true, trx_sun: 12500000, token_raw: '9007199254740993', bandwidth_left: 600, at: state.at },
    positions: [{ account, owes_us_raw: '9007199254740993', we_owe_raw: '0', defaults: 1, defaulted_raw: '500000', banned: true }],
    batches: [{ id: '1', created: state.at, confirmed: 1, pending: 0, failed: 0, payouts: [{ payee: account, amount_raw: '78125', state: 'solid', txid: 'ab'.repeat(32), block: 5, reason: '' }] }],
    grants: [{ signer: account, state: 'open', max_raw: '5000000', max_per_peer_raw: '1000000', used_raw: '4000000', from: state.at, until: state.at + hour }],
    node: { solid_head: 7, silent: null },
  };
  const problems = { problems: [{ code: 'key_ends', subject: null, message: 'The session key ends soon.', hint: 'Restart with the passphrase.', since: state.at }] };
  apply({ revision: state.revision, full: false, at: state.at, torrents: [], removed: [], money, problems });
});
// What would be paid now, and why not the rest: the server has no debts, so it is told of some.
const account = 'TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC';
const plan = {
  at: 1, payer: account, total_raw: '3000000', fee_sun_estimate: 345000, fee_sun_worst: 690000, bandwidth_needed: 600, bandwidth_available: 0, stake_to_be_free_sun: 123000000,
  payouts: [{ payee: account, amount_raw: '3000000', owed_raw: '3000000', owed_to_us_raw: '0', activates: true, fee_sun: 345000 }], payouts_in_all: 1,
  deferred: [{ payee: account, amount_raw: '70', reason: '<b>below</b> the minimum payout of 1 BTT; left for later' }], deferred_in_all: 1,
};
await page.route('**/api/v1/money/plan', (route) => route.fulfill({ json: plan }));
for (const [name, words] of [['Overview', '9,007,199,254.740993 BTT'], ['People', 'banned'], ['Money', 'final'], ['Wallet', '4 BTT of 5 BTT']]) {
  await page.getByRole('link', { name, exact: true }).click();
  await page.getByText(words).first().waitFor();
  await check(`${name}, with money`);
}
await page.getByRole('link', { name: 'Money', exact: true }).click();
await page.getByText('1 payout of 3 BTT together, for a fee of 0.345 TRX, 0.69 TRX at worst. 1 debt left for later. With 123 TRX more staked').waitFor();
await page.getByText('<b>below</b> the minimum payout of 1 BTT; left for later').waitFor();
assert.equal(await page.getByRole('row', { name: 'now' }).getByText('this makes the account').count(), 1);
await check('the plan');
Object.assign(plan, { payouts: [], payouts_in_all: 0, deferred: [], deferred_in_all: 0, stake_to_be_free_sun: null });
await page.getByRole('button', { name: 'Look again' }).click();
await page.getByText('Nothing is due.').waitFor();
assert.equal(await page.getByText('left for later').count(), 0);
// What the server refuses is said in its place.
await page.unroute('**/api/v1/money/plan');
await page.route('**/api/v1/money/plan', (route) => route.fulfill({ status: 409, json: { error: { code: 'failed', message: 'the plan cannot be made: the node is silent' } } }));
await page.getByRole('button', { name: 'Look again' }).click();
await page.getByText('the node is silent').waitFor();
// What was earned today goes on from what the days had when they were read.
await page.getByRole('link', { name: 'Overview', exact: true }).click();
const today = page.locator('.card', { hasText: 'Earned today' }).locator('dd');
await page.waitForFunction(() => [...document.querySelectorAll('.card')].some((one) => one.textContent === 'Earned today0 BTT'));
await page.evaluate(async () => {
  const { apply, state } = await import(new URL('page/store.js', document.baseURI));
  const money = { ...state.money, session_earned_raw: '3234567' };
  apply({ revision: state.revision, full: false, at: state.at, torrents: [], removed: [], money });
});
await page.waitForFunction(() => [...document.querySelectorAll('.card')].some((one) => one.textContent === 'Earned today2 BTT'));
assert.equal(await today.textContent(), '2 BTT');
// Moving money asks for the password again; the server says that nothing is sold here.
await page.getByRole('link', { name: 'Money', exact: true }).click();
await page.getByRole('button', { name: 'Settle now…' }).click();
await check('settle');
await page.getByLabel('Password of admin').fill('wrong password');
await page.getByRole('button', { name: 'Confirm' }).click();
await page.getByText('the user name or the password is wrong').first().waitFor();
await page.getByRole('button', { name: 'Settle now…' }).click();
await page.getByLabel('Password of admin').fill(password);
await page.getByRole('button', { name: 'Confirm' }).click();
await page.getByText('neither buys nor sells').waitFor();
await page.getByRole('link', { name: 'Torrents', exact: true }).click();

// Away with it. The rows above are only in this page: it is loaded anew.
await page.reload();
await page.getByText('live').waitFor();
await page.getByRole('gridcell', { name: 'downloading' }).or(page.getByRole('gridcell', { name: 'verifying' })).first().waitFor();
await page.getByRole('gridcell').nth(1).click();
await page.getByRole('button', { name: 'Remove…' }).click();
await check('remove');
await page.getByLabel('Also delete the files').check();
await page.getByRole('button', { name: 'Remove', exact: true }).click();
await page.getByRole('gridcell').first().waitFor({ state: 'detached' });

await page.getByRole('link', { name: 'Settings', exact: true }).click();
await page.getByRole('button', { name: 'Log out' }).click();
await page.getByRole('dialog').waitFor();
await browser.close();
assert.deepEqual(faults, []);
console.log('ok');

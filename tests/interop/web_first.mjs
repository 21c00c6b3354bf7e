// The first ten minutes with a daemon, in Chromium, as the README tells them: open the page,
// add a magnet link, pay, see it settle. Then what one does with people.
//
// web_first.mjs ADDRESS PASSWORD MAGNET SELLER [FOLDER]   ADDRESS: as the first start prints it,
// with a token; SELLER: the seeder's account; FOLDER: where pictures are put

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/web/package.json`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [address, password, magnet, seller, pictures] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
// The checker is put into the page by the browser itself: the page's own rules forbid it.
const context = await browser.newContext({ bypassCSP: true, viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
// Blocks come twice a second here; all of it takes seconds.
page.setDefaultTimeout(60000);
const faults = [];
page.on('pageerror', (error) => faults.push(String(error)));
page.on('console', (message) => { if (message.type() === 'error' && !/40[0-9]/.test(message.text())) faults.push(message.text()); });

const picture = async (name) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  assert.deepEqual(violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(' ')}`), [], name);
  if (!pictures) return;
  await page.evaluate(() => { document.getElementById('notes').replaceChildren(); scrollTo(0, 0); });
  await page.screenshot({ path: `${pictures}/${name}.png` });
};
const open = async (name) => {
  await page.getByRole('link', { name, exact: true }).click();
  await page.getByRole('heading', { level: 1, name }).waitFor();
};
const confirm = async () => {
  await page.getByLabel('Password of admin').fill(password);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
};
const card = (name) => page.locator('.card', { hasText: name }).locator('dd');

// The token opens the page, and is not in the address any more.
await page.goto(address);
await page.getByText('live').waitFor();
assert.equal(new URL(page.url()).hash.includes('token'), false);

// A magnet link, by the page.
await open('Torrents');
await page.getByRole('button', { name: 'Add…' }).click();
await page.getByLabel('Magnet links or info-hashes').fill(magnet);
await page.getByRole('button', { name: 'Add', exact: true }).click();
await page.getByRole('link', { name: 'films' }).click();
await page.getByRole('heading', { level: 1, name: 'films' }).waitFor();
// What it costs is seen while it comes.
const peers = page.getByRole('region', { name: 'Peers' });
await peers.getByText('BTT/GiB').first().waitFor();
const columns = await peers.getByRole('columnheader').allTextContents();
assert.equal(await peers.getByRole('cell').nth(columns.indexOf('Costs you')).textContent(), '5 BTT/GiB');
await page.getByRole('combobox', { name: 'Download film.bin' }).waitFor();
await picture('torrent');
await page.waitForFunction(() => [...document.querySelectorAll('.card')].some((one) => /^Done100/.test(one.textContent)));
await open('Torrents');
await page.getByRole('gridcell', { name: 'seeding' }).waitFor();
await picture('torrents');

// It is owed now.
await open('Overview');
await page.waitForFunction(() => [...document.querySelectorAll('.card')].some((one) => /^You owe(?!0 BTT)[0-9]/.test(one.textContent)));
// Bytes and money of the day, drawn.
await page.getByRole('img', { name: /BTT on each of the last fourteen days: earned 0 BTT, spent 0\.0[0-9]+ BTT/ }).waitFor();
assert.equal(await card('Earned today').textContent(), '0 BTT');
await picture('overview');

// Paid by hand, with the password.
await open('Money');
await page.getByRole('button', { name: 'Settle now…' }).click();
await confirm();
const payouts = page.getByRole('region', { name: 'Payouts' });
await payouts.getByText('final').first().waitFor();
await payouts.getByText(seller).first().waitFor();
// What is paid is not in the plan any more.
await page.getByRole('region', { name: 'The plan' }).getByText('Nothing is due.').waitFor();
await picture('money');
await open('Overview');
await page.waitForFunction(() => [...document.querySelectorAll('.card')].some((one) => one.textContent === 'You owe0 BTT'));

// People: banned, and forgiven.
await open('People');
await page.getByRole('button', { name: `Ban ${seller}` }).click();
await page.getByLabel('Why (for your own memory)').fill('<i>as a test</i>');
await page.getByRole('button', { name: 'Ban', exact: true }).click();
await page.getByRole('cell', { name: 'banned' }).waitFor();
await picture('people');
await page.getByRole('button', { name: `Forgive ${seller}` }).click();
await confirm();
await page.getByRole('cell', { name: 'yes' }).waitFor();

// The account, as the chain has it.
await open('Wallet');
await page.getByText('Session keys').waitFor();
await picture('wallet');
assert.notEqual(await card('BTT').first().textContent(), '—');
await browser.close();
assert.deepEqual(faults, []);
console.log('ok');

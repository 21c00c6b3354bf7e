// A session key is taken back on the page, in Chromium: with the password, and not without.
//
// web_key.mjs ADDRESS PASSWORD   ADDRESS: as the first start prints it, with a token

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.SEEDRAIL_PEERS}/web/package.json`);
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const [address, password] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
// The checker is put into the page by the browser itself: the page's own rules forbid it.
const context = await browser.newContext({ bypassCSP: true, viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
page.setDefaultTimeout(60000);

await page.goto(address);
await page.getByText('live').waitFor();
await page.getByRole('link', { name: 'Wallet', exact: true }).click();
await page.getByText('may spend').waitFor();
await page.evaluate(axe);
const { violations } = await page.evaluate(() => axe.run());
assert.deepEqual(violations.map((one) => one.id), []);

const button = page.getByRole('button', { name: /^Take back T/ }).first();
const confirm = async (words) => {
  await button.click();
  await page.getByLabel('Password of admin').fill(words);
  await page.getByRole('button', { name: 'Confirm' }).click();
};
await confirm('wrong password');
await page.getByText('the user name or the password is wrong').first().waitFor();
assert.equal(await page.getByText('may spend').count(), 1);
await confirm(password);
await page.getByText('may spend').waitFor({ state: 'detached' });
await page.getByText('taken back', { exact: true }).waitFor();
assert.equal(await button.count(), 0);
await browser.close();
console.log('ok');

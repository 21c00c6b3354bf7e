// Money: settlements, from receipt to block.

import { call } from './api.js';
import { attempt, confirmMoney, field, h, table, text } from './dom.js';
import { PAYOUTS, amount, count, date, toRaw, trx } from './format.js';
import { state } from './store.js';

export const title = 'Money';

const policy = (one) => ({
  off: 'Debts are paid by hand: seedrail settle.',
  free: 'Debts are paid by themselves as long as no fee is burnt.',
  up_to: `Debts are paid by themselves, up to ${amount(one.day_raw ?? 0)} a day.`,
}[one.mode]);

/** What a settlement would pay now, and why the rest waits. */
function planned() {
  const rows = table('What would be paid now', [['When', ''], ['To', 'name'], ['Amount', 'num'], ['Fee', 'num mid'], ['Reason', '']]);
  const sum = h('p', { role: 'status' });
  let asking = false;
  let again = false;
  const show = (plan) => {
    rows.element.hidden = plan.payouts.length + plan.deferred.length === 0;
    rows.show([
      ...plan.payouts.map((one) => ['now', one.payee, amount(one.amount_raw), trx(one.fee_sun), one.activates ? 'this makes the account' : '']),
      ...plan.deferred.map((one) => ['later', one.payee, amount(one.amount_raw), '', one.reason])]);
    const parts = [];
    if (plan.payouts_in_all) parts.push(`${count(plan.payouts_in_all, 'payout')} of ${amount(plan.total_raw)} together, for a fee of ${trx(plan.fee_sun_estimate)}, ${trx(plan.fee_sun_worst)} at worst.`);
    if (plan.deferred_in_all) parts.push(`${count(plan.deferred_in_all, 'debt')} left for later.`);
    if (plan.stake_to_be_free_sun) parts.push(`With ${trx(plan.stake_to_be_free_sun)} more staked for bandwidth, nothing would be burnt in a day.`);
    text(sum, parts.join(' ') || 'Nothing is due.');
  };
  const look = async () => {
    again = true;
    if (asking) return;
    asking = true;
    // What happens while one is made changes what the next one says.
    while (again) {
      again = false;
      try {
        show(await call('GET', 'money/plan'));
      } catch (error) {
        rows.element.hidden = true;
        text(sum, error.message);
      }
    }
    asking = false;
  };
  const element = h('section', { 'aria-label': 'The plan' }, h('h2', null, 'What would be paid now'), sum, rows.element,
    h('div', { class: 'bar' }, h('button', { type: 'button', onclick: look }, 'Look again')));
  rows.element.hidden = true;
  return { element, look };
}

export function show(root) {
  const how = h('p');
  const plan = planned();
  const payouts = table('Payouts', [['Planned', ''], ['To', 'name'], ['Amount', 'num'], ['State', ''], ['Block', 'num mid'], ['Transaction', 'wide'], ['Reason', 'wide']]);
  const settle = () => attempt(async () => {
    const given = await confirmMoney(call, 'Settle debts now?');
    if (given) await call('POST', 'money/settle', undefined, given.confirm);
  });
  const change = () => attempt(async () => {
    const choice = h('select', { id: 'f-mode', name: 'mode' },
      h('option', { value: 'off' }, 'By hand'), h('option', { value: 'free' }, 'By themselves, without fees'), h('option', { value: 'up_to' }, 'By themselves, up to an amount a day'));
    choice.value = state.money.policy.mode;
    const given = await confirmMoney(call, 'How debts are paid', [
      h('p', null, h('label', { for: 'f-mode' }, 'Debts are paid'), choice),
      field('At most a day, BTT', { name: 'day', inputmode: 'decimal' })]);
    if (!given) return;
    const mode = given.form.get('mode');
    const body = mode === 'up_to' ? { mode, day_raw: toRaw(given.form.get('day')) } : { mode };
    await call('PUT', 'money/policy', body, given.confirm);
  });
  const bar = h('div', { class: 'bar' }, h('button', { type: 'button', class: 'main', onclick: settle }, 'Settle now…'), h('button', { type: 'button', onclick: change }, 'Change policy…'));
  root.append(how, bar, plan.element, h('h2', null, 'Payouts'), payouts.element,
    h('p', { class: 'soft' }, 'Each payout goes: planned, signed, sent, in a block, final. All of them: ', h('code', null, 'seedrail settle history'), '. ', h('a', { href: 'api/v1/money/payouts.csv', download: '' }, 'These payouts as CSV')));
  let last = null;
  return () => {
    payouts.element.hidden = bar.hidden = plan.element.hidden = !state.money;
    if (!state.money) { text(how, 'Payments are off.'); return; }
    text(how, policy(state.money.policy));
    if (state.money.batches === last) return;
    last = state.money.batches;
    plan.look();
    payouts.show(last.flatMap((batch) => batch.payouts.map((one) => [
      date(batch.created), one.payee, amount(one.amount_raw), PAYOUTS[one.state], one.block === null ? '' : String(one.block),
      one.txid ? h('code', { title: one.txid }, `${one.txid.slice(0, 12)}…`) : '', one.reason])));
  };
}

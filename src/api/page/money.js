// Money: settlements, from receipt to block.

import { call } from './api.js';
import { attempt, confirmMoney, field, h, table, text } from './dom.js';
import { PAYOUTS, amount, date, toRaw } from './format.js';
import { state } from './store.js';

export const title = 'Money';

const policy = (one) => ({
  off: 'Debts are paid by hand: seedrail settle.',
  free: 'Debts are paid by themselves as long as no fee is burnt.',
  up_to: `Debts are paid by themselves, up to ${amount(one.day_raw ?? 0)} a day.`,
}[one.mode]);

export function show(root) {
  const how = h('p');
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
  root.append(how, bar, payouts.element,
    h('p', { class: 'soft' }, 'Each payout goes: planned, signed, sent, in a block, final. All of them: ', h('code', null, 'seedrail settle history'), '. ', h('a', { href: 'api/v1/money/payouts.csv', download: '' }, 'These payouts as CSV')));
  let last = null;
  return () => {
    payouts.element.hidden = bar.hidden = !state.money;
    if (!state.money) { text(how, 'Payments are off.'); return; }
    text(how, policy(state.money.policy));
    if (state.money.batches === last) return;
    last = state.money.batches;
    payouts.show(last.flatMap((batch) => batch.payouts.map((one) => [
      date(batch.created), one.payee, amount(one.amount_raw), PAYOUTS[one.state], one.block === null ? '' : String(one.block),
      one.txid ? h('code', { title: one.txid }, `${one.txid.slice(0, 12)}…`) : '', one.reason])));
  };
}

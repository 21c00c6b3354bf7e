// Money: settlements, from receipt to block.

import { h, table, text } from './dom.js';
import { PAYOUTS, amount, date } from './format.js';
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
  root.append(how, payouts.element,
    h('p', { class: 'soft' }, 'Each payout goes: planned, signed, sent, in a block, final. CSV and proofs: ', h('code', null, 'seedrail settle history'), '.'));
  let last = null;
  return () => {
    payouts.element.hidden = !state.money;
    if (!state.money) { text(how, 'Payments are off.'); return; }
    text(how, policy(state.money.policy));
    if (state.money.batches === last) return;
    last = state.money.batches;
    payouts.show(last.flatMap((batch) => batch.payouts.map((one) => [
      date(batch.created), one.payee, amount(one.amount_raw), PAYOUTS[one.state], one.block === null ? '' : String(one.block),
      one.txid ? h('code', { title: one.txid }, `${one.txid.slice(0, 12)}…`) : '', one.reason])));
  };
}

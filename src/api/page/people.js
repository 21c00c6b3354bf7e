// People: who owes whom.

import { call } from './api.js';
import { ask, attempt, confirmMoney, field, h, table } from './dom.js';
import { amount } from './format.js';
import { state } from './store.js';

export const title = 'People';

export function show(root) {
  const none = h('p', null, 'Payments are off: nobody owes anybody anything.');
  const people = table('People', [['Account', 'name'], ['Owes you', 'num'], ['You owe', 'num'], ['Defaults', 'num mid'], ['Not paid', 'num wide'], ['Served', 'mid'], ['Change', '']]);
  root.append(none, people.element,
    h('p', { class: 'soft' }, 'Who is banned is not served. Who is forgiven begins again as any other: debts that were not paid, bans and contradictions are forgotten.'));
  const ban = (account) => () => attempt(async () => {
    const form = await ask(`Ban ${account}`, [field('Why (for your own memory)', { name: 'reason', maxlength: '200' })], 'Ban', true);
    if (form) await call('POST', `people/${account}/ban`, { reason: form.get('reason') });
  });
  const forgive = (account) => () => attempt(async () => {
    const given = await confirmMoney(call, `Forgive ${account}`, [h('p', null, 'It gets credit again, as any other.')]);
    if (given) await call('POST', `people/${account}/forgive`, undefined, given.confirm);
  });
  const button = (name, one, onclick) => h('button', { type: 'button', 'aria-label': `${name} ${one.account}`, onclick }, `${name}…`);
  let last = null;
  return () => {
    none.hidden = Boolean(state.money);
    people.element.hidden = !state.money;
    if (!state.money || state.money.positions === last) return;
    last = state.money.positions;
    people.show(last.map((one) => [one.account, amount(one.owes_us_raw), amount(one.we_owe_raw), String(one.defaults), amount(one.defaulted_raw), one.banned ? 'banned' : 'yes',
      h('span', { class: 'bar' }, one.banned ? null : button('Ban', one, ban(one.account)), one.banned || one.defaults ? button('Forgive', one, forgive(one.account)) : null)]));
  };
}

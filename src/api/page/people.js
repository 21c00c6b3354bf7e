// People: who owes whom.

import { h, table } from './dom.js';
import { amount } from './format.js';
import { state } from './store.js';

export const title = 'People';

export function show(root) {
  const none = h('p', null, 'Payments are off: nobody owes anybody anything.');
  const people = table('People', [['Account', 'name'], ['Owes you', 'num'], ['You owe', 'num'], ['Defaults', 'num mid'], ['Not paid', 'num wide'], ['Served', 'mid']]);
  root.append(none, people.element,
    h('p', { class: 'soft' }, 'Ban and forgive people with ', h('code', null, 'seedrail peers'), '.'));
  let last = null;
  return () => {
    none.hidden = Boolean(state.money);
    people.element.hidden = !state.money;
    if (!state.money || state.money.positions === last) return;
    last = state.money.positions;
    people.show(last.map((one) => [one.account, amount(one.owes_us_raw), amount(one.we_owe_raw), String(one.defaults), amount(one.defaulted_raw), one.banned ? 'banned' : 'yes']));
  };
}

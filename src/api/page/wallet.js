// Wallet: the account, what it holds, and its session keys.

import { call } from './api.js';
import { attempt, confirmMoney, h, text } from './dom.js';
import { amount, date, trx } from './format.js';
import { qr } from './qr.js';
import { state } from './store.js';

export const title = 'Wallet';

const GRANTS = { open: 'may spend', identity: 'says who you are, cannot spend', used_up: 'used up', replaced: 'replaced', ended: 'ended', revoked: 'taken back' };

export function show(root) {
  const none = h('p', null, 'Payments are off: no account is used.');
  const address = h('code'), btt = h('dd', null, '—'), coin = h('dd', null, '—'), node = h('p', { role: 'status' });
  const copy = h('button', { type: 'button', onclick: () => navigator.clipboard?.writeText(address.textContent) }, 'Copy');
  const code = h('div');
  const grants = h('ul', { class: 'problems' });
  const all = h('div', null,
    h('div', { class: 'bar' }, address, copy), code, node,
    h('dl', { class: 'cards' }, h('div', { class: 'card' }, h('dt', null, 'BTT'), btt), h('div', { class: 'card' }, h('dt', null, 'TRX'), coin)),
    h('h2', null, 'Session keys'), grants,
    h('p', { class: 'soft' }, 'What a key has signed away stays owed when it is taken back. The recovery phrase is in no backup: keep it on paper.'));
  root.append(none, all);
  const revoke = (signer) => () => attempt(async () => {
    const given = await confirmMoney(call, 'Take the session key back?', [h('p', null, 'Nothing more is signed by ', h('code', null, signer), '. To pay with another key, restart the daemon.')]);
    if (given) await call('DELETE', `money/keys/${signer}`, undefined, given.confirm);
  });
  let last = null;
  return () => {
    const { money } = state;
    none.hidden = Boolean(money);
    all.hidden = !money;
    if (!money) return;
    if (address.textContent !== money.account) {
      text(address, money.account);
      code.replaceChildren(qr(money.account, 'QR code of the address'));
    }
    text(btt, money.balance ? amount(money.balance.token_raw) : '—');
    text(coin, money.balance ? trx(money.balance.trx_sun) : '—');
    text(node, money.node.silent ? `The node does not answer: ${money.node.silent}` : money.balance && !money.balance.activated ? 'This account is not on the chain yet.' : '');
    if (money.grants === last) return;
    last = money.grants;
    grants.replaceChildren(...last.map((one) => {
      const max = Number(one.max_raw), used = Number(one.used_raw);
      return h('li', null, h('b', null, GRANTS[one.state]), h('code', null, one.signer),
        max > 0 ? h('div', null, h('meter', { min: 0, max, value: used, 'aria-label': 'Used of its limit' }), ` ${amount(one.used_raw)} of ${amount(one.max_raw)}, ${amount(one.max_per_peer_raw)} for one account`) : null,
        h('div', { class: 'soft' }, `until ${date(one.until)}`),
        ['open', 'identity', 'used_up'].includes(one.state) ? h('button', { type: 'button', 'aria-label': `Take back ${one.signer}`, onclick: revoke(one.signer) }, 'Take back…') : null);
    }));
  };
}

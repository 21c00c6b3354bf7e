// Elements, without a framework: text is always text, never HTML.

/** An element: `h('p', { class: 'soft' }, 'text', child)`. `on…` are listeners. */
export function h(tag, props, ...children) {
  const element = ['svg', 'polyline', 'path', 'title'].includes(tag)
    ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets the text if it is another: a screen reader is not told the same again. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** A sentence for a moment. */
export function note(words) {
  const line = h('p', null, words);
  document.getElementById('notes').append(line);
  setTimeout(() => line.remove(), 6000);
}

/** Does something and tells what came of it. */
export async function attempt(action, done) {
  try {
    const value = await action();
    if (done) note(done);
    return value;
  } catch (error) {
    note(error.message);
    return undefined;
  }
}

/** Asks in a dialog; the form's data, or null. */
export function ask(title, fields, submit, danger) {
  return new Promise((resolve) => {
    const form = h('form', { method: 'dialog' },
      h('h2', { id: 'dialog-title' }, title), fields,
      h('div', { class: 'bar' },
        h('button', { class: danger ? 'bad' : 'main', value: 'ok' }, submit),
        h('button', { value: 'no', formnovalidate: true }, 'Cancel')));
    const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' }, form);
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'ok' ? new FormData(form) : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks for the password of admin again; a code for one request that moves money, or null. */
export async function confirmMoney(call, title, fields = []) {
  const form = await ask(title, [fields, field('Password of admin', { name: 'confirm', type: 'password', required: true, autocomplete: 'current-password' })], 'Confirm');
  if (!form) return null;
  const { confirm } = await call('POST', 'session/confirm', { password: form.get('confirm') });
  return { confirm, form };
}

/** A field with its label. */
export function field(label, props) {
  const id = `f-${props.name}`;
  return h('p', null, h('label', { for: id }, label), h('input', { id, autocomplete: 'off', ...props }));
}

/** A table of few rows. `columns`: [title, class]. */
export function table(caption, columns) {
  const body = h('tbody');
  const head = h('tr', null, columns.map(([title, kind]) => h('th', { scope: 'col', class: kind }, title)));
  const element = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', { 'aria-label': caption }, h('thead', null, head), body));
  /** Shows rows of cells, at most 100 of them. */
  const show = (rows) => {
    const shown = rows.slice(0, 100).map((cells) => h('tr', null, cells.map((cell, at) => {
      const kind = columns[at][1];
      return h('td', { class: kind, title: typeof cell === 'string' && kind === 'name' ? cell : null }, cell);
    })));
    if (rows.length > 100) shown.push(h('tr', null, h('td', { colspan: columns.length, class: 'soft' }, `and ${rows.length - 100} more`)));
    body.replaceChildren(...shown);
  };
  return { element, show };
}

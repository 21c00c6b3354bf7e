// A table of any number of rows, of which only those in sight are in the document.

import { h } from './dom.js';

const ROW = 40;
const MOST = 100;

/**
 * `columns`: { key, title, kind, sort(row), cell(row, td) }. `cell` fills a cell; it is
 * called again for a changed row.
 */
export class BigTable {
  constructor(label, columns, { open, select }) {
    this.columns = columns;
    this.rows = [];
    this.chosen = new Set();
    this.cursor = 0;
    this.order = { key: columns[0].key, down: false };
    this.open = open;
    this.select = select;
    this.shown = new Map();
    this.body = h('tbody');
    this.heads = columns.map((column) => h('th', { scope: 'col', class: column.kind, 'aria-sort': 'none' },
      h('button', { type: 'button', onclick: () => this.sortBy(column.key) }, column.title)));
    this.table = h('table', { 'aria-label': label, 'aria-multiselectable': 'true', role: 'grid' }, h('thead', null, h('tr', null, this.heads)), this.body);
    this.element = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${label}: arrow keys move, space selects, enter opens` }, this.table);
    this.top = h('tr', { class: 'space', 'aria-hidden': 'true' }, h('td', { colspan: columns.length }));
    this.bottom = h('tr', { class: 'space', 'aria-hidden': 'true' }, h('td', { colspan: columns.length }));
    this.element.addEventListener('scroll', () => this.draw(), { passive: true });
    this.element.addEventListener('keydown', (event) => this.key(event));
    this.body.addEventListener('click', (event) => this.click(event));
    this.body.addEventListener('dblclick', (event) => this.openAt(event));
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.element);
  }

  sortBy(key) {
    this.order = { key, down: this.order.key === key ? !this.order.down : false };
    this.sort();
    this.draw(true);
  }

  sort() {
    const { key, down } = this.order;
    const column = this.columns.find((one) => one.key === key);
    const keyed = this.rows.map((row) => [column.sort(row), row]);
    keyed.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x.info_hash < y.info_hash ? -1 : 1));
    if (down) keyed.reverse();
    this.rows = keyed.map(([, row]) => row);
    this.columns.forEach((one, at) => this.heads[at].setAttribute('aria-sort', one.key !== key ? 'none' : down ? 'descending' : 'ascending'));
  }

  /** Other rows, or another order of them. */
  set(rows) {
    this.rows = rows;
    this.sort();
    for (const hash of this.chosen) if (!rows.some((row) => row.info_hash === hash)) this.chosen.delete(hash);
    this.table.setAttribute('aria-rowcount', rows.length + 1);
    this.draw(true);
  }

  /** The same rows, some with other values. */
  update(byHash, touched) {
    for (let at = 0; at < this.rows.length; at += 1) {
      const { info_hash: hash } = this.rows[at];
      if (touched.has(hash)) this.rows[at] = byHash.get(hash);
    }
    for (const [hash, line] of this.shown) if (touched.has(hash)) this.fill(line, byHash.get(hash));
  }

  fill(line, row) {
    this.columns.forEach((column, at) => column.cell(row, line.cells[at]));
  }

  draw(again) {
    const height = this.element.clientHeight || 600;
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - 8);
    const last = Math.min(this.rows.length, first + Math.min(MOST, Math.ceil(height / ROW) + 18));
    if (!again && first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    const shown = new Map();
    const lines = [];
    for (let at = first; at < last; at += 1) {
      const row = this.rows[at];
      let line = this.shown.get(row.info_hash);
      if (!line) line = h('tr', null, this.columns.map((column) => h('td', { class: column.kind, role: 'gridcell' })));
      this.fill(line, row);
      line.dataset.hash = row.info_hash;
      line.setAttribute('aria-rowindex', at + 2);
      line.setAttribute('aria-selected', this.chosen.has(row.info_hash));
      shown.set(row.info_hash, line);
      lines.push(line);
    }
    this.shown = shown;
    this.top.firstChild.style.height = `${first * ROW}px`;
    this.bottom.firstChild.style.height = `${(this.rows.length - last) * ROW}px`;
    this.top.hidden = first === 0;
    this.bottom.hidden = last === this.rows.length;
    this.body.replaceChildren(this.top, ...lines, this.bottom);
  }

  mark() {
    for (const [hash, line] of this.shown) line.setAttribute('aria-selected', this.chosen.has(hash));
    this.select?.(this.chosen);
  }

  choose(hash, more) {
    if (!more) this.chosen.clear();
    if (more && this.chosen.has(hash)) this.chosen.delete(hash);
    else this.chosen.add(hash);
    this.mark();
  }

  click(event) {
    const hash = event.target.closest('tr')?.dataset.hash;
    if (!hash || event.target.closest('a')) return;
    this.cursor = this.rows.findIndex((row) => row.info_hash === hash);
    this.choose(hash, event.ctrlKey || event.metaKey);
  }

  openAt(event) {
    const hash = event.target.closest('tr')?.dataset.hash;
    if (hash) this.open(hash);
  }

  key(event) {
    if (event.target !== this.element || this.rows.length === 0) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 2);
    const to = { ArrowDown: this.cursor + 1, ArrowUp: this.cursor - 1, PageDown: this.cursor + page, PageUp: this.cursor - page, Home: 0, End: this.rows.length - 1 }[event.key];
    if (to !== undefined) {
      this.cursor = Math.max(0, Math.min(this.rows.length - 1, to));
      const at = this.cursor * ROW;
      const room = this.element.clientHeight - 2 * ROW;
      if (at < this.element.scrollTop) this.element.scrollTop = at;
      else if (at > this.element.scrollTop + room) this.element.scrollTop = at - room;
      this.choose(this.rows[this.cursor].info_hash, false);
    } else if (event.key === 'Enter') this.open(this.rows[this.cursor].info_hash);
    else if (event.key === ' ') this.choose(this.rows[this.cursor].info_hash, true);
    else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
      for (const row of this.rows) this.chosen.add(row.info_hash);
      this.mark();
    } else return;
    event.preventDefault();
  }

  close() { this.sizes.disconnect(); }
}

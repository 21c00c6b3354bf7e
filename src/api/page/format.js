// Numbers, amounts and times as a person reads them. One way for each, everywhere.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes: `1.5 MiB`. */
export function bytes(count) {
  let value = Number(count), unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Bytes a second. */
export const rate = (count) => `${bytes(count)}/s`;

/** BTT from raw units (millionths), exactly; texts and numbers. */
export function amount(raw) {
  let value = BigInt(raw ?? 0);
  const sign = value < 0n ? '-' : '';
  if (value < 0n) value = -value;
  const whole = (value / 1000000n).toString().replace(/\B(?=(\d{3})+$)/g, ',');
  const part = (value % 1000000n).toString().padStart(6, '0').replace(/0+$/, '');
  return `${sign}${whole}${part ? `.${part}` : ''} BTT`;
}

/** Raw units, as a text, from BTT as typed. */
export function toRaw(text) {
  const match = /^(\d{1,12})(?:\.(\d{1,6}))?$/.exec(text.trim());
  if (!match) throw new Error(`“${text}” is not an amount: write digits, and at most 6 of them after a point.`);
  return (BigInt(match[1]) * 1000000n + BigInt((match[2] ?? '').padEnd(6, '0'))).toString();
}

/** TRX from SUN. */
export const trx = (sun) => amount(sun).replace('BTT', 'TRX');

/** Seconds: `3 h 5 min`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '—';
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = Math.max(0, parts.findIndex(([size]) => seconds >= size));
  const said = [];
  let rest = seconds;
  for (const [size, unit] of parts.slice(seconds < 1 ? 3 : at).slice(0, 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || said.length === 0) said.push(`${count} ${unit}`);
  }
  return said.join(' ');
}

/** A moment, in milliseconds since 1970. */
export function date(ms) {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(ms);
}

/** Done of a whole, in percent. */
export function percent(done, whole) {
  if (!whole) return '0%';
  // 100 % is said only when nothing is missing.
  const value = Math.floor((done * 1000) / whole) / 10;
  return `${done < whole ? Math.min(value, 99.9) : 100}%`;
}

/** `1 peer`, `2 peers`. */
export const count = (number, one) => `${number} ${number === 1 ? one : `${one}s`}`;

/** What a torrent does, in words. */
export const STATES = {
  metadata: 'getting the file list', checking: 'verifying', downloading: 'downloading', seeding: 'seeding',
  paused: 'paused', queued: 'waits its turn', disk_refused: 'disk problem', finishing: 'settling', failed: 'failed',
};

/** Where a payout stands, in words. */
export const PAYOUTS = {
  planned: 'planned', signed: 'signed', accepted: 'sent', included: 'in a block', solid: 'final', failed: 'given up',
};

/** A limit typed in KiB/s; empty: none. */
export const kib = (limit) => (limit ? String(Math.round(limit / 1024)) : '');
export const fromKib = (text) => (Number(text) > 0 ? Math.round(Number(text) * 1024) : null);

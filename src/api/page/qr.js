// An address as a QR code (ISO/IEC 18004): version 3, correction level M, bytes, mask 0.
// That holds 42 bytes; a TRON address has 34.

import { h } from './dom.js';

const SIZE = 29, DATA = 44, CHECK = 26;
/** Level M and mask 0, with their own check bits. */
const FORMAT = 0b101010000010010;

/** The product of two elements of GF(256), modulo x^8 + x^4 + x^3 + x^2 + 1. */
function times(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    product = (product << 1) ^ (product >> 7 ? 0x11d : 0);
    if ((b >> bit) & 1) product ^= a;
  }
  return product;
}

/** Reed-Solomon check bytes. */
function checkBytes(data) {
  let generator = [1], root = 1;
  for (let at = 0; at < CHECK; at += 1) {
    const longer = [...generator, 0];
    generator.forEach((factor, place) => { longer[place + 1] ^= times(factor, root); });
    generator = longer;
    root = times(root, 2);
  }
  const rest = [...data, ...new Array(CHECK).fill(0)];
  for (let at = 0; at < data.length; at += 1) {
    const lead = rest[at];
    generator.forEach((factor, place) => { rest[at + place] ^= times(factor, lead); });
  }
  return rest.slice(data.length);
}

/** Mode, length, bytes and padding. */
function dataBytes(text) {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > 42) throw new Error('too long for this code');
  const bits = [];
  const put = (value, count) => { for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1); };
  put(0b0100, 4);
  put(bytes.length, 8);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, DATA * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const data = [];
  for (let at = 0; at < bits.length; at += 8) data.push(parseInt(bits.slice(at, at + 8).join(''), 2));
  for (let pad = 0xec; data.length < DATA; pad ^= 0xfd) data.push(pad);
  return data;
}

/** Rows of 0 and 1. */
export function matrix(text) {
  const cells = Array.from({ length: SIZE }, () => new Array(SIZE).fill(null));
  const square = (row, column, radius, dark) => {
    for (let y = -radius; y <= radius; y += 1) {
      for (let x = -radius; x <= radius; x += 1) {
        const line = cells[row + y];
        if (line && column + x >= 0 && column + x < SIZE) line[column + x] = dark(Math.max(Math.abs(x), Math.abs(y))) ? 1 : 0;
      }
    }
  };
  for (const [row, column] of [[3, 3], [3, SIZE - 4], [SIZE - 4, 3]]) square(row, column, 4, (far) => far !== 2 && far !== 4);
  square(22, 22, 2, (far) => far !== 1);
  for (let at = 8; at < SIZE - 8; at += 1) cells[6][at] = cells[at][6] = at % 2 ? 0 : 1;
  cells[SIZE - 8][8] = 1;
  for (let bit = 0; bit < 15; bit += 1) {
    const value = (FORMAT >> bit) & 1;
    const down = bit < 6 ? bit : bit < 8 ? bit + 1 : SIZE - 15 + bit;
    const across = bit < 8 ? SIZE - 1 - bit : bit === 8 ? 7 : 14 - bit;
    cells[down][8] = value;
    cells[8][across] = value;
  }
  const data = dataBytes(text);
  const bytes = [...data, ...checkBytes(data)];
  let bit = 0;
  for (let right = SIZE - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5;
    for (let step = 0; step < SIZE; step += 1) {
      const row = up ? SIZE - 1 - step : step;
      for (const column of [right, right - 1]) {
        if (cells[row][column] !== null) continue;
        const value = ((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;
        bit += 1;
        cells[row][column] = value ^ ((row + column) % 2 === 0 ? 1 : 0);
      }
    }
  }
  return cells;
}

/** The picture, with the quiet zone around it. */
export function qr(text, label) {
  const side = SIZE + 8;
  const path = matrix(text).flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ''))).join('');
  return h('svg', { class: 'qr', viewBox: `0 0 ${side} ${side}`, role: 'img', 'aria-label': label },
    h('path', { d: `M0 0h${side}v${side}H0z`, class: 'quiet' }), h('path', { d: path, class: 'dark' }));
}

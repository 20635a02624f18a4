/**
 * Animated GIFs (GIF89a) of small images.
 *
 * The page makes them by itself, because the frames are here already: a route would draw the whole sheet a second time.
 * Grey images keep their 256 shades; coloured ones get 6 levels of red and blue and 7 of green.
 */

const BITS = 8;
const CLEAR = 1 << BITS;
const END = CLEAR + 1;
const MOST_CODES = 4096;
const BLOCK = 255; // bytes

/** A GIF that plays frames (ImageData of one size) again and again, each for so many ms, as a Blob. */
export function gif(frames, pause) {
  const [{ width, height }] = frames;
  const grey = frames.every(isGrey);
  const bytes = [
    ...ascii("GIF89a"), ...word(width), ...word(height), 0b11110111, 0, 0,
    ...palette(grey),
    0x21, 0xff, 11, ...ascii("NETSCAPE2.0"), 3, 1, ...word(0), 0, // for ever
  ];
  const parts = [Uint8Array.from(bytes)];
  for (const frame of frames) {
    const delay = Math.round(pause / 10);
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 0, ...word(delay), 0, 0, 0x2c, ...word(0), ...word(0), ...word(width), ...word(height), 0, BITS]));
    parts.push(...blocks(compress(indices(frame, grey))));
  }
  parts.push(Uint8Array.of(0x3b));
  return new Blob(parts, { type: "image/gif" });
}

const ascii = (text) => Array.from(text, (character) => character.charCodeAt(0));
const word = (value) => [value & 255, value >> 8];

function isGrey({ data }) {
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return false;
  }
  return true;
}

function palette(grey) {
  return Array.from({ length: 256 }, (_, index) => {
    if (grey) return [index, index, index];
    const [red, green, blue] = [Math.floor(index / 42), Math.floor(index / 6) % 7, index % 6];
    return [Math.min(5, red) * 51, Math.round(green * 42.5), blue * 51];
  }).flat();
}

/** The index in the palette of each pixel. */
function indices({ data }, grey) {
  const found = new Uint8Array(data.length / 4);
  for (let at = 0; at < found.length; at++) {
    const [red, green, blue] = [data[4 * at], data[4 * at + 1], data[4 * at + 2]];
    found[at] = grey ? red : 42 * Math.round(red / 51) + 6 * Math.round(green / 42.5) + Math.round(blue / 51);
  }
  return found;
}

/** Lempel, Ziv and Welch, with codes that grow from 9 to 12 bits. */
function compress(pixels) {
  const bytes = [];
  let [table, size, next, buffer, filled] = [new Map(), BITS + 1, END + 1, 0, 0];
  const put = (code) => {
    buffer |= code << filled;
    for (filled += size; filled >= 8; filled -= 8) {
      bytes.push(buffer & 255);
      buffer >>>= 8;
    }
  };
  put(CLEAR);
  let prefix = pixels[0];
  for (let at = 1; at < pixels.length; at++) {
    const key = (prefix << 8) | pixels[at];
    const known = table.get(key);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    put(prefix);
    prefix = pixels[at];
    if (next === MOST_CODES) {
      put(CLEAR);
      [table, size, next] = [new Map(), BITS + 1, END + 1];
      continue;
    }
    if (next === 1 << size) size++;
    table.set(key, next++);
  }
  put(prefix);
  put(END);
  if (filled) bytes.push(buffer & 255);
  return Uint8Array.from(bytes);
}

/** Bytes in blocks of at most 255, each after its length, and an empty one at the end. */
function* blocks(bytes) {
  for (let at = 0; at < bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    yield Uint8Array.of(block.length);
    yield block;
  }
  yield Uint8Array.of(0);
}

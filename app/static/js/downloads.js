/** What the network drew as files: a drawing as PNG or SVG, a sheet as PNG, SVG or as an animated GIF. */

import { gif } from "./gif.js";

const SCALE = 16; // pixels of a file for each of a drawing
const SHEET_SCALE = 3;
const GAP_PIXELS = 4; // pixels between the images of a sheet
const FRAME_MS = 90;

/** A drawing as a PNG whose pixels are squares. */
export function drawingPng(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width * SCALE, bitmap.height * SCALE);
  draw(canvas, bitmap, 0, 0, SCALE);
  return canvas.convertToBlob({ type: "image/png" });
}

/** A drawing as an SVG of rectangles: pixels of one colour that lie side by side are one. */
export function drawingSvg(bitmap) {
  const { width, height } = bitmap;
  const { data } = pixelsOf(bitmap);
  const rectangles = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0, from = 0; x < width; x++) {
      const colour = colourAt(data, y * width + x);
      if (x + 1 < width && colourAt(data, y * width + x + 1) === colour) continue;
      if (colour !== "#000000") rectangles.push(`<path fill="${colour}" d="M${from} ${y}h${x + 1 - from}v1h${from - x - 1}z"/>`);
      from = x + 1;
    }
  }
  return svg(width, height, `<path d="M0 0h${width}v${height}H0z"/>${rectangles.join("")}`);
}

/** A sheet as one PNG: a row for each dimension, a column for each step. */
export function sheetPng({ bitmaps }) {
  const { canvas, place } = board(bitmaps.length, bitmaps[0].length, bitmaps[0][0]);
  bitmaps.forEach((row, down) => row.forEach((bitmap, along) => draw(canvas, bitmap, ...place(down, along), SHEET_SCALE)));
  return canvas.convertToBlob({ type: "image/png" });
}

/** A sheet as an SVG with the images in it, and the numbers of its rows and columns. */
export async function sheetSvg({ bitmaps, dims, deltas }) {
  const { width, height } = bitmaps[0][0];
  const [left, top] = [16, 10];
  const files = await Promise.all(bitmaps.map((row) => Promise.all(row.map(dataAddress))));
  const label = (x, y, text, anchor) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
  const heads = deltas.map((delta, along) => label(left + (along + 0.5) * (width + 1), 7, round(delta), "middle"));
  const rows = files.map((row, down) => {
    const y = top + down * (height + 1);
    const images = row.map((file, along) => `<image x="${left + along * (width + 1)}" y="${y}" width="${width}" height="${height}" href="${file}"/>`);
    return label(left - 3, y + height / 2 + 2, dims[down], "end") + images.join("");
  });
  const style = "<style>image{image-rendering:pixelated}text{font:6px sans-serif}</style>";
  return svg(left + deltas.length * (width + 1), top + dims.length * (height + 1), style + heads.join("") + rows.join(""));
}

/** A sheet as an animated GIF: all dimensions side by side, each moved there and back. */
export function sheetGif({ bitmaps }) {
  const across = Math.ceil(Math.sqrt(bitmaps.length));
  const steps = bitmaps[0].map((_, step) => step);
  const frames = [...steps, ...steps.slice(1, -1).toReversed()].map((step) => {
    const { canvas, place } = board(Math.ceil(bitmaps.length / across), across, bitmaps[0][0]);
    bitmaps.forEach((row, dim) => draw(canvas, row[step], ...place(Math.floor(dim / across), dim % across), SHEET_SCALE));
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  });
  return gif(frames, FRAME_MS);
}

/** Hand a file to the browser, which keeps it where it keeps downloads. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function board(rows, columns, { width, height }) {
  const [wide, tall] = [width * SHEET_SCALE + GAP_PIXELS, height * SHEET_SCALE + GAP_PIXELS];
  const canvas = new OffscreenCanvas(columns * wide + GAP_PIXELS, rows * tall + GAP_PIXELS);
  const context = canvas.getContext("2d");
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return { canvas, place: (row, column) => [GAP_PIXELS + column * wide, GAP_PIXELS + row * tall] };
}

function draw(canvas, bitmap, x, y, scale) {
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, x, y, bitmap.width * scale, bitmap.height * scale);
}

function pixelsOf(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

const colourAt = (data, pixel) =>
  `#${[0, 1, 2].map((part) => data[4 * pixel + part].toString(16).padStart(2, "0")).join("")}`;

async function dataAddress(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer());
  return `data:image/png;base64,${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
}

function svg(width, height, content) {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" shape-rendering="crispEdges">`;
  return new Blob([head, content, "</svg>"], { type: "image/svg+xml" });
}

const round = (delta) => String(Math.round(1000 * delta) / 1000);

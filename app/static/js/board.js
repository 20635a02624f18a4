/**
 * The drawing board: light strokes on black, as the networks know them, by mouse, pen, finger or keyboard.
 *
 * Emits on its canvas: `draw` while a stroke grows, `drawn` when it is whole. An image laid on the board is cleared by
 * the first stroke.
 */

import { byId } from "./dom.js";
import { UNDERLAY } from "./images.js";
import { draw } from "./strokes.js";

const WIDTH_PIXELS = 392; // pixels of the board's width: fourteen for each of MNIST's
const SENT_PIXELS = 224;
const STEP = 0.025; // what an arrow key moves
const CLOSEST = 0.004; // points nearer than this are one

export class Board {
  #canvas;
  #context;
  #pointer = null;
  #cursor = null; // of the keyboard: {at, down}
  strokes = [];
  image = null; // a bitmap that lies on the board
  takesStrokes = true;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.shape(1);
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#type(event));
    canvas.addEventListener("blur", () => this.#leave());
  }

  /** Give the board the proportions of the network's input, its height over its width. */
  shape(aspect) {
    this.#canvas.width = WIDTH_PIXELS;
    this.#canvas.parentElement.style.setProperty("--aspect", aspect);
    this.#canvas.height = Math.round(WIDTH_PIXELS * aspect);
    this.paint();
  }

  /** Take strokes, or show images alone; strokes that are there go. */
  allowPen(allowed) {
    this.takesStrokes = allowed;
    this.#canvas.classList.toggle("penless", !allowed);
    if (allowed) return;
    this.#cursor = null;
    this.show({ image: this.image });
  }

  /** Whether a stroke is under way. */
  get isDrawing() {
    return this.#pointer !== null || Boolean(this.#cursor?.down);
  }

  show({ image = null, strokes = [] }) {
    if (strokes !== this.strokes) this.#lift();
    this.image = image;
    this.strokes = strokes;
    this.paint();
  }

  /** What was drawn as a PNG, at a size that is quick to send and more than any network takes. */
  blob() {
    const canvas = new OffscreenCanvas(SENT_PIXELS, Math.round((SENT_PIXELS * this.#canvas.height) / WIDTH_PIXELS));
    const context = canvas.getContext("2d");
    ground(context, canvas);
    draw(context, this.strokes, SENT_PIXELS);
    return canvas.convertToBlob({ type: "image/png" });
  }

  paint() {
    const [context, canvas] = [this.#context, this.#canvas];
    ground(context, canvas);
    if (this.image) lay(context, this.image, canvas);
    draw(context, this.strokes, WIDTH_PIXELS);
    if (this.#cursor) this.#paintCursor();
  }

  #begin(event) {
    if (!this.takesStrokes || event.button !== 0 || this.#pointer !== null) return;
    event.preventDefault(); // no selection of text, no scrolling
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointer = event.pointerId;
    this.#cursor = null;
    this.#start(this.#place(event));
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.length ? between : [event]) this.#add(this.#place(each));
    this.#changed("draw");
  }

  #end(event) {
    if (event.pointerId !== this.#pointer) return;
    this.#pointer = null;
    this.#changed("drawn");
  }

  /** End a stroke that is under way: what it belonged to is no longer on the board. */
  #lift() {
    this.#pointer = null;
    if (this.#cursor) this.#cursor.down = false;
  }

  #start(point) {
    this.image = null;
    this.strokes.push({ width: byId("pen").value / 100, points: [point] });
    this.#changed("draw");
  }

  #add(point) {
    const { points } = this.strokes.at(-1);
    const [x, y] = points.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= CLOSEST) points.push(point);
  }

  #changed(kind) {
    this.paint();
    this.#canvas.dispatchEvent(new CustomEvent(kind));
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
  }

  #type(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!this.takesStrokes || (!move && event.key !== " ")) return;
    event.preventDefault();
    this.#cursor ??= { at: [0.5, (0.5 * this.#canvas.height) / WIDTH_PIXELS], down: false };
    if (move) this.#steer(move);
    else this.#press();
  }

  #steer([right, down]) {
    const tallest = this.#canvas.height / WIDTH_PIXELS;
    const [x, y] = this.#cursor.at;
    this.#cursor.at = [Math.min(1, Math.max(0, x + right * STEP)), Math.min(tallest, Math.max(0, y + down * STEP))];
    if (!this.#cursor.down) return this.paint();
    this.#add(this.#cursor.at);
    return this.#changed("draw");
  }

  #press() {
    this.#cursor.down = !this.#cursor.down;
    if (this.#cursor.down) this.#start(this.#cursor.at);
    else this.#changed("drawn");
  }

  #leave() {
    if (!this.#cursor) return;
    const wasDown = this.#cursor.down;
    this.#cursor = null;
    if (wasDown) this.#changed("drawn");
    else this.paint();
  }

  #paintCursor() {
    const [x, y] = this.#cursor.at.map((part) => part * WIDTH_PIXELS);
    const context = this.#context;
    context.save();
    context.strokeStyle = this.#cursor.down ? "#ffb454" : "#8fb4ff";
    context.lineWidth = 3;
    context.beginPath();
    context.arc(x, y, (byId("pen").value / 200) * WIDTH_PIXELS, 0, 2 * Math.PI);
    context.stroke();
    context.restore();
  }
}

function ground(context, { width, height }) {
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "#fff";
}

/** Lay a bitmap on the board, whole; small ones keep their pixels. */
function lay(context, image, { width, height }) {
  const scale = Math.min(width / image.width, height / image.height);
  const [wide, tall] = [image.width * scale, image.height * scale];
  context.imageSmoothingEnabled = scale < 2;
  context.fillStyle = UNDERLAY;
  context.fillRect((width - wide) / 2, (height - tall) / 2, wide, tall);
  context.drawImage(image, (width - wide) / 2, (height - tall) / 2, wide, tall);
}

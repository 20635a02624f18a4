/** The perturbation sheet of the paper: a row for each dimension of the pose, a column for each step. */

import { byId, figure, make, say } from "./dom.js";
import { paint } from "./images.js";
import { meaningOf } from "./sliders.js";
import { text } from "./texts.js";

const FRAME_MS = 90; // ms an image, where a row is played

export class Sheet {
  #body = byId("sheet-body");
  #hint = byId("sheet-hint");
  #take;
  #show;
  #sheet = null;
  #playing = 0;

  /** `take(dim, delta)` is called for the image that is pressed, `show(bitmap)` for each that is played. */
  constructor(take, show) {
    this.#take = take;
    this.#show = show;
    this.#body.addEventListener("click", (event) => this.#press(event.target.closest("button")));
    this.#body.addEventListener("keydown", (event) => this.#walk(event));
  }

  empty(hint) {
    this.#stop();
    this.#sheet = null;
    say(this.#hint, hint);
    this.#body.replaceChildren(this.#hint);
  }

  /** Say that a sheet is on its way, unless an older one is still there to be seen. */
  expect() {
    if (!this.#sheet) say(this.#hint, text("sheet.drawing"));
  }

  fill(card, index, sheet) {
    this.#stop();
    this.#sheet = sheet;
    const caption = text("sheet.caption", { name: card.classes[index] });
    const table = make("table", { attributes: { role: "grid", "aria-label": caption } }, head(sheet.deltas));
    table.append(make("tbody", {}, ...sheet.dims.map((dim, row) => this.#row(dim, row, meaningOf(card, index, dim)))));
    table.classList.toggle("named", sheet.dims.some((dim) => meaningOf(card, index, dim)));
    this.#body.replaceChildren(table);
  }

  #row(dim, row, meaning) {
    const name = make("button", { type: "button", className: "play", tabIndex: row ? -1 : 0 }, make("b", {}, String(dim)));
    name.append(meaning ? ` ${meaning}` : "");
    name.setAttribute("aria-label", text(meaning ? "sheet.play.meaning" : "sheet.play", { dim, meaning }));
    Object.assign(name.dataset, { row, column: 0 });
    const cells = this.#sheet.deltas.map((delta, column) => {
      const canvas = make("canvas", { className: "pixels" });
      paint(canvas, this.#sheet.bitmaps[row][column]);
      const button = make("button", { type: "button", tabIndex: -1 }, canvas);
      button.setAttribute("aria-label", text("sheet.cell", { dim, delta: signed(delta) }));
      Object.assign(button.dataset, { row, column: column + 1 });
      const isMiddle = Math.abs(delta) < 1e-6;
      return make("td", { className: isMiddle ? "given" : "", attributes: { role: "gridcell" } }, button);
    });
    return make("tr", {}, make("th", { scope: "row" }, name), ...cells);
  }

  #press(button) {
    if (!button || !this.#sheet) return;
    const [row, column] = [Number(button.dataset.row), Number(button.dataset.column)];
    this.#stop();
    this.#focus(button);
    if (column === 0) this.#play(row);
    else this.#take(this.#sheet.dims[row], this.#sheet.deltas[column - 1]);
  }

  /** Show the images of a row one after the other, there and back to the middle. */
  #play(row) {
    const frames = this.#sheet.bitmaps[row];
    const middle = frames.length >> 1;
    const there = [...frames.slice(middle), ...frames.toReversed(), ...frames.slice(0, middle + 1)];
    const buttons = [...this.#body.querySelectorAll(`td button[data-row="${row}"]`)];
    let at = 0;
    this.#playing = setInterval(() => {
      const frame = there[at++];
      buttons.forEach((button, column) => button.classList.toggle("now", frames[column] === frame));
      if (frame) this.#show(frame);
      else this.#stop();
    }, FRAME_MS);
  }

  #stop() {
    if (!this.#playing) return;
    clearInterval(this.#playing);
    this.#playing = 0;
    this.#body.querySelectorAll(".now").forEach((button) => button.classList.remove("now"));
    this.#show(null);
  }

  #walk(event) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const { row, column } = event.target.dataset;
    if (!step || row === undefined) return;
    event.preventDefault();
    const place = `[data-row="${Number(row) + step[0]}"][data-column="${Number(column) + step[1]}"]`;
    this.#focus(this.#body.querySelector(`button${place}`));
  }

  /** One button of the sheet at a time is a stop of the tabulator. */
  #focus(button) {
    if (!button) return;
    this.#body.querySelectorAll('button[tabindex="0"]').forEach((each) => (each.tabIndex = -1));
    button.tabIndex = 0;
    button.focus({ preventScroll: false });
  }
}

const signed = (delta) => `${delta > 0 ? "+" : ""}${figure(Math.abs(delta) < 1e-6 ? 0 : delta)}`;

function head(deltas) {
  const columns = deltas.map((delta) => make("th", { scope: "col", textContent: signed(delta) }));
  return make("thead", {}, make("tr", {}, make("th", { scope: "col", textContent: text("sheet.dimension") }), ...columns));
}

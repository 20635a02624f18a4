/** A handle for each direction of the pose that the card names: degrees, per cent and pixels instead of numbers. */

import { byId, figure, make, say } from "./dom.js";
import { text } from "./texts.js";

const NAMES = {
  rotation: "property.rotation",
  slant: "property.slant",
  width: "property.width",
  height: "property.height",
  size: "property.size",
  weight: "property.weight",
  shift_x: "property.shift_x",
  shift_y: "property.shift_y",
};
export const PROPERTIES = Object.keys(NAMES);
const UNITS = { degrees: "°", "per cent": " %", pixels: " px" };
const WIDE = "(min-width: 90rem)"; // a window that has space for the numbers beside the handles
const STEPS = 100; // of a handle, from one end to the other

/** A property in words; one that is not known has the name that the card gives it. */
export const propertyName = (property) => (property in NAMES ? text(NAMES[property]) : property);

/** The directions of a class, as the card has them. */
export const directionsOf = (card, index) => card?.pose_directions?.[card.classes[index]] ?? [];

/** How a pose [D] changes for one unit of a direction. */
export function rate({ vector, matrix }, pose) {
  if (!matrix) return vector;
  return vector.map((value, row) => matrix[row].reduce((sum, weight, column) => sum + weight * pose[column], value));
}

/** An amount with its unit, and a sign where it is not 0. */
export function amountOf(value, unit) {
  const sign = value > 0 ? "+" : "";
  return `${sign}${figure(value, unit === "pixels" ? 1 : 0)}${UNITS[unit] ?? ` ${unit}`}`;
}

export class Handles {
  #list = byId("handles");
  #rows = [];
  #shaped = "";
  #move;

  /** `move(change)` is called while a handle moves, with what is to be added to the pose [D]. */
  constructor(move) {
    this.#move = move;
  }

  /** Show the handles of a class; without a moved pose all of them stand in the middle. */
  show({ card, seen, chosen, pose }) {
    if (seen) this.#shape(card, chosen);
    for (const row of this.#rows) {
      row.slider.disabled = !seen;
      if (seen) row.from = seen.poses[chosen];
      if (!pose) put(row, 0);
    }
  }

  #shape(card, chosen) {
    const shape = `${card.name} ${card.version} ${chosen}`;
    if (shape === this.#shaped) return;
    this.#shaped = shape;
    this.#rows = directionsOf(card, chosen).map((direction) => this.#row(direction));
    this.#list.replaceChildren(...this.#rows.map(({ item }) => item));
    const named = this.#rows.length > 0;
    if (named === !this.#list.hidden) return; // the numbers stay as open as the hand left them
    this.#list.hidden = byId("move-about").hidden = !named;
    byId("numbers").open = !named || matchMedia(WIDE).matches;
  }

  #row(direction) {
    const { property, unit, minimum, maximum } = direction;
    const step = (maximum - minimum) / STEPS;
    const slider = make("input", { type: "range", id: `handle-${property}`, min: minimum, max: maximum, step });
    const value = make("output", { className: "value", htmlFor: slider.id });
    const label = make("label", { htmlFor: slider.id }, make("b", { textContent: propertyName(property) }));
    const row = { item: make("li", {}, label, value, slider), slider, value, unit, amount: 0, from: [] };
    slider.addEventListener("input", () => {
      const next = Number(slider.value);
      const change = rate(direction, row.from).map((each) => each * (next - row.amount));
      put(row, next);
      this.#move(change);
    });
    return row;
  }
}

/** Set a handle to an amount. */
function put(row, amount) {
  row.amount = amount;
  row.slider.value = amount;
  const written = amountOf(amount, row.unit);
  row.slider.setAttribute("aria-valuetext", written);
  say(row.value, written);
}

/** The table of class capsules: a row for each, with the length as a bar and the pose as a strip of a heat map. */

import { byId, figure, make, say, tint } from "./dom.js";
import { colourOf } from "./images.js";
import { text } from "./texts.js";

/** A number of the pose as deep as this has the full colour. */
export const DEEPEST = 0.5;

const MOST_NUMBERED = 20; // dimensions; of more than these every fifth has its number over its column
const MOST_ROWS = 20; // more classes than these: the longest

export class CapsuleTable {
  #table = byId("capsules");
  #body = make("tbody");
  #card = null;
  #choose;

  /** `choose(index)` is called for the class that a person presses. */
  constructor(choose) {
    this.#choose = choose;
  }

  /** Build the table for a model: all of its classes, or as many as a person can look at. */
  shape(card) {
    this.#card = card;
    const longest = Math.max(...card.classes.map((name) => name.length));
    this.#table.style.setProperty("--name", `${Math.min(14, longest)}ch`);
    this.#table.classList.toggle("many", card.config.pose_dim > MOST_NUMBERED);
    this.#body = make("tbody");
    const count = Math.min(card.classes.length, MOST_ROWS);
    this.#body.append(...Array.from({ length: count }, () => this.#row(card.config.pose_dim)));
    this.#table.replaceChildren(this.#table.caption, head(card.config.pose_dim), this.#body);
    this.show({ seen: null, chosen: null });
  }

  show({ seen, chosen }) {
    if (!this.#card) return; // nothing to be shown before the first model
    const indices = this.#indices(seen);
    [...this.#body.rows].forEach((row, place) => this.#fill(row, indices[place], seen, chosen));
  }

  #indices(seen) {
    const all = this.#card.classes.map((_, index) => index);
    if (all.length <= MOST_ROWS || !seen) return all.slice(0, MOST_ROWS);
    return all.sort((one, other) => seen.lengths[other] - seen.lengths[one]).slice(0, MOST_ROWS);
  }

  #row(dims) {
    const button = make("button", { type: "button", className: "name" });
    const bar = make("span", { className: "bar-fill" });
    const value = make("span", { className: "value" });
    const row = make(
      "tr",
      {},
      make("th", { scope: "row" }, button),
      make("td", { className: "length" }, make("span", { className: "bar-track" }, bar), value),
      ...Array.from({ length: dims }, () => make("td", { className: "cell" }, make("span", { className: "hidden" }))),
    );
    button.addEventListener("click", () => this.#choose(Number(row.dataset.index)));
    row.addEventListener("click", (event) => event.target !== button && this.#choose(Number(row.dataset.index)));
    return row;
  }

  #fill(row, index, seen, chosen) {
    const length = seen?.lengths[index] ?? 0;
    const rank = seen ? seen.found.indexOf(index) : -1;
    row.dataset.index = index;
    row.classList.toggle("found", rank >= 0);
    row.classList.toggle("chosen", index === chosen);
    const severals = this.#card.objects > 1 && rank >= 0;
    row.style.setProperty("--own", severals ? colourOf(rank) : "var(--strong)");
    const button = row.querySelector(".name");
    say(button, this.#card.classes[index]);
    button.setAttribute("aria-pressed", index === chosen);
    button.disabled = !seen;
    row.querySelector(".bar-fill").style.setProperty("--length", `${100 * Math.min(1, length)}%`);
    say(row.querySelector(".value"), seen ? figure(length) : "");
    fillPose(row, seen?.poses[index]);
  }
}

/** Colour a row's cells by the numbers of a pose, and put the numbers in for those who cannot see colours. */
function fillPose(row, pose) {
  row.querySelectorAll(".cell").forEach((cell, dim) => {
    const value = pose?.[dim] ?? 0;
    tint(cell, value / DEEPEST);
    cell.title = pose ? text("capsules.dimension", { dim, value: figure(value, 3) }) : "";
    say(cell.firstChild, pose ? figure(value) : text("capsules.none"));
  });
}

function head(dims) {
  const numbers = Array.from({ length: dims }, (_, dim) =>
    make("th", { scope: "col", className: "dim", textContent: dim }),
  );
  const heading = (textContent, className) => make("th", { scope: "col", className, textContent });
  const [name, length] = [heading(text("capsules.class"), "of-name"), heading(text("capsules.length"), "of-length")];
  return make("thead", {}, make("tr", {}, name, length, ...numbers));
}

/** A slider for each dimension of a capsule's pose. */

import { DEEPEST } from "./capsules.js";
import { byId, figure, make, say, tint } from "./dom.js";
import { text } from "./texts.js";

const STEP = 0.005;
const MARGIN = 0.3; // beyond the furthest number of the pose, so that each can be moved as far as the paper moves it
const LEAST_REACH = 0.5;

export class Sliders {
  #list = byId("sliders");
  #rows = [];
  #move;

  /** `move(dim, value)` is called while a slider moves. */
  constructor(move) {
    this.#move = move;
  }

  shape(card) {
    this.#rows = Array.from({ length: card.config.pose_dim }, (_, dim) => this.#row(dim));
    this.#list.replaceChildren(...this.#rows.map(({ item }) => item));
    this.show({ card, seen: null });
  }

  /** Show the pose as it is now, and by a mark where the network had it. */
  show({ card, seen, chosen, pose }) {
    const given = seen?.poses[chosen] ?? this.#rows.map(() => 0);
    const values = pose ?? given;
    const furthest = Math.max(...[...given, ...values].map(Math.abs));
    const reach = Math.max(LEAST_REACH, Math.ceil(10 * (furthest + (pose ? 0 : MARGIN))) / 10);
    this.#rows.forEach((row, dim) => {
      const widest = pose ? Math.max(reach, Number(row.slider.max)) : reach; // the track stays while a hand is on it
      fill(row, { value: values[dim], given: given[dim], reach: widest, meaning: meaningOf(card, chosen, dim) });
      row.slider.disabled = !seen;
    });
  }

  #row(dim) {
    const slider = make("input", { type: "range", id: `dim-${dim}`, step: STEP });
    const name = make("span", { className: "dim-name" });
    const value = make("output", { className: "value", htmlFor: slider.id });
    const word = make("span", { className: "hidden", textContent: `${text("pose.dimension")} ` });
    const label = make("label", { htmlFor: slider.id }, word, make("b", { textContent: dim }), " ", name);
    slider.addEventListener("input", () => this.#move(dim, Number(slider.value)));
    return { item: make("li", {}, label, value, slider), slider, name, value };
  }
}

// The words that cards have for this.
const MEANINGS = {
  area: "meaning.area",
  height: "meaning.height",
  "horizontal shift": "meaning.horizontal",
  length: "meaning.length",
  slant: "meaning.slant",
  thickness: "meaning.thickness",
  "vertical shift": "meaning.vertical",
  width: "meaning.width",
};

/** What a dimension changes in a class, where the card knows it. */
export function meaningOf(card, index, dim) {
  const known = card.pose_meaning?.[card.classes[index]] ?? [];
  const meaning = known.find((each) => each.dim === dim)?.meaning ?? "";
  return meaning in MEANINGS ? text(MEANINGS[meaning]) : meaning;
}

function fill({ item, slider, name, value: output }, { value, given, reach, meaning }) {
  slider.min = -reach;
  slider.max = reach;
  slider.value = value;
  slider.setAttribute("aria-valuetext", figure(value));
  say(name, meaning);
  say(output, figure(value));
  item.classList.toggle("moved", Math.abs(value - given) >= STEP);
  item.style.setProperty("--given", (given + reach) / (2 * reach));
  tint(item, value / DEEPEST);
}

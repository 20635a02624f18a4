/** The last dozen answers as small images; each can be pressed, and is there again. */

import { byId, make } from "./dom.js";
import { takeBack } from "./input.js";
import { isBlank, paint } from "./images.js";
import { store, values } from "./session.js";
import { listed, text } from "./texts.js";

const MOST = 12;
const SETTLED_MS = 700; // ms that an answer stands before it is kept

let entries = []; // the newest first: {card, image, names, input}
let due = 0;

/** Keep answers from now on. `turnTo(name, image)` turns to the model that gave one, where it is another. */
export function keepHistory(turnTo) {
  store.on(["seen"], ({ seen }) => {
    clearTimeout(due);
    if (seen) due = setTimeout(() => keep(turnTo), SETTLED_MS);
  });
  if (values.seen) keep(turnTo);
}

function keep(turnTo) {
  const { card, image, seen } = values;
  if (!seen || !image) return;
  const names = isBlank(seen.input) ? ["–"] : seen.found.map((index) => card.classes[index]);
  const entry = { card, image, names, input: seen.input };
  entries = [entry, ...entries.filter((other) => !isSame(entry, other))].slice(0, MOST);
  show(turnTo);
}

/** Whether two answers are to one image, or to one drawing that went on. */
function isSame(one, other) {
  if (one.card.name !== other.card.name) return false;
  const [strokes, others] = [one.image.origin.strokes, other.image.origin.strokes];
  if (!strokes || !others) return one.image.blob === other.image.blob;
  const [short, long] = [strokes, others].sort((a, b) => a.length - b.length);
  return short.every((stroke, index) => stroke === long[index]);
}

function show(turnTo) {
  const items = entries.map((entry) => {
    const canvas = make("canvas", { className: "pixels" });
    paint(canvas, entry.input);
    const names = listed(entry.names);
    const label = text("history.entry", { names, model: entry.card.name });
    const button = make("button", { type: "button", title: label, attributes: { "aria-label": label } }, canvas);
    button.append(make("span", { textContent: entry.names.join(" "), attributes: { "aria-hidden": "true" } }));
    button.addEventListener("click", () => {
      if (entry.card.name === values.card.name) takeBack(entry.image);
      else turnTo(entry.card.name, entry.image);
    });
    return make("li", {}, button);
  });
  byId("history").replaceChildren(...items);
  byId("history-part").hidden = items.length < 2;
}

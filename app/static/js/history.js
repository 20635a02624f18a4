/** The last dozen answers as small images; each can be pressed, and is there again. */

import { byId, make } from "./dom.js";
import { takeBack } from "./input.js";
import { isBlank, paint } from "./images.js";
import { store, values } from "./session.js";
import { beginWith } from "./strokes.js";
import { listed, text } from "./texts.js";

const MOST = 12;
const SETTLED_MS = 700; // ms that an answer stands before it is kept

let entries = []; // the newest first: {card, image, names, input, item}
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
  const { card, seen } = values;
  if (!seen) return;
  const names = isBlank(seen.input) ? ["–"] : seen.found.map((index) => card.classes[index]);
  const entry = { card, image: seen.image, names, input: seen.input };
  entry.item = itemOf(entry, turnTo);
  const focused = entries.find(({ item }) => item.contains(document.activeElement));
  entries = [entry, ...entries.filter((other) => !isSame(entry, other))].slice(0, MOST);
  byId("history").replaceChildren(...entries.map(({ item }) => item));
  byId("history-part").hidden = entries.length < 2;
  if (!focused) return;
  const { item } = entries.includes(focused) ? focused : entry; // moving an element takes the focus from it
  item.querySelector("button").focus({ preventScroll: true });
}

/** Whether two answers are to one image, or to one drawing that went on. */
function isSame(one, other) {
  if (one.card.name !== other.card.name) return false;
  const [strokes, others] = [one.image.origin.strokes, other.image.origin.strokes];
  if (!strokes || !others) return one.image.blob === other.image.blob;
  const [short, long] = [strokes, others].sort((a, b) => a.length - b.length);
  return beginWith(long, short);
}

/** An entry as an element of the list. */
function itemOf({ card, image, names, input }, turnTo) {
  const canvas = make("canvas", { className: "pixels" });
  paint(canvas, input);
  const label = text("history.entry", { names: listed(names), model: card.name });
  const button = make("button", { type: "button", title: label, attributes: { "aria-label": label } }, canvas);
  button.append(make("span", { textContent: names.join(" "), attributes: { "aria-hidden": "true" } }));
  button.addEventListener("click", () => {
    if (card.name === values.card.name) takeBack(image);
    else turnTo(card.name, image);
  });
  return make("li", {}, button);
}

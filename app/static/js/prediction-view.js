/** What was found, in words and in images beside what was seen. Numbers stand behind a toggle. */

import { byId, figure, make, say } from "./dom.js";
import { blank, colourOf, isBlank, overlay, paint } from "./images.js";
import { listed, listedParts, text } from "./texts.js";

const QUIET_MS = 700; // ms without a change until the prediction is read aloud
const MOST_DECIMALS = 4;

let speaking = 0;

export function showPrediction({ card, seen, chosen, drawn }) {
  if (!seen) return showNothing();
  const names = seen.found.map((index) => card.classes[index]);
  const { words, spoken, refused, empty } = judge(seen, names);
  byId("prediction").classList.toggle("refused", refused);
  nameThem(empty ? ["–"] : names, card.objects > 1);
  say(byId("prediction-words"), words);
  paint(byId("input"), seen.input);
  say(byId("input-size"), text("seen.size", { width: seen.input.width, height: seen.input.height }));
  showDrawings(card, seen, chosen, drawn);
  showDoubt(empty ? null : seen.check, names);
  showFigures(seen, names);
  byId("badge").replaceChildren(empty ? "" : names.join(" "), make("small", {}, words));
  byId("badge").classList.toggle("refused", refused);
  speak(spoken);
  return undefined;
}

function showNothing() {
  byId("prediction").classList.remove("refused");
  byId("prediction-class").replaceChildren("–");
  say(byId("prediction-words"), text("prediction.nothing"));
  byId("badge").replaceChildren();
  blank(byId("input"));
  blank(byId("drawn"));
  say(byId("input-size"), "");
  say(byId("drawn-from"), "");
  byId("guard").hidden = byId("singles").hidden = byId("prediction-numbers").hidden = true;
  clearTimeout(speaking);
  say(byId("spoken"), ""); // so that the same prediction is said again for the next image
}

/** The prediction in words and as it is read aloud, whether the check refused it, and whether there is nothing to see. */
function judge(seen, names) {
  const empty = isBlank(seen.input);
  if (empty) return { words: text("prediction.blank"), spoken: text("prediction.blank"), refused: true, empty };
  const refused = seen.check?.accepted === false;
  const words = refused ? text("prediction.refused") : certainty(seen);
  const spoken = refused ? text("prediction.refused.spoken", { names: listed(names) }) : `${listed(names)}. ${words}`;
  return { words, spoken, refused, empty };
}

/** How sure the network is, by the length of the shortest capsule that it names. */
function certainty({ found, lengths }) {
  const least = Math.min(...found.map((index) => lengths[index]));
  if (least >= 0.9) return text("prediction.surely");
  if (least >= 0.7) return text("prediction.likely");
  return text(least >= 0.5 ? "prediction.perhaps" : "prediction.guess");
}

function nameThem(names, severals) {
  let rank = 0;
  const parts = listedParts(names).map(({ type, value }) => {
    if (type === "literal") return make("small", { textContent: value });
    const part = make("span", { textContent: value });
    if (severals) part.style.setProperty("--own", colourOf(rank++));
    return part;
  });
  byId("prediction-class").replaceChildren(...parts);
  byId("prediction-class").classList.toggle("severals", severals);
  byId("prediction-class").classList.toggle("long", names.join("").length > 3);
}

function showDrawings(card, seen, chosen, drawn) {
  const severals = card.objects > 1;
  const index = drawn.has(chosen) ? chosen : seen.found[0];
  if (severals) overlay(byId("drawn"), seen.found.map((each) => drawn.get(each)));
  else paint(byId("drawn"), drawn.get(index));
  const names = listed(severals ? seen.found.map((each) => card.classes[each]) : [card.classes[index]]);
  say(byId("drawn-from"), severals ? text("seen.from.several", { names }) : text("seen.from", { name: names }));
  byId("drawn").setAttribute("aria-label", text("seen.drawn.label", { names }));
  byId("singles").hidden = !severals;
  if (severals) byId("singles").replaceChildren(...singles(card, seen, drawn));
}

/** Each found object by itself, drawn from its own capsule in its own colour. */
function singles(card, seen, drawn) {
  return seen.found.map((index, rank) => {
    const name = card.classes[index];
    const label = text("seen.drawn.label", { names: name });
    const canvas = make("canvas", { className: "pixels", attributes: { role: "img", "aria-label": label } });
    paint(canvas, drawn.get(index), colourOf(rank));
    const caption = make("figcaption", {}, make("b", { textContent: name }), ` ${text("seen.alone")}`);
    return make("figure", {}, canvas, caption);
  });
}

/** How far the drawing is from the image, as a bar; a threshold of zero says that no drawing would be near enough. */
function showDoubt(check, names) {
  byId("guard").hidden = !check;
  if (!check) return;
  const { distance, threshold, accepted } = check;
  const share = threshold > 0 ? distance / (2 * threshold) : 1; // the mark of the threshold stands in the middle
  byId("meter").style.setProperty("--distance", `${Math.min(100, 100 * share)}%`);
  byId("guard").classList.toggle("refused", !accepted);
  const key = names.length > 1 ? "guard.refused.several" : "guard.refused";
  say(byId("guard-words"), accepted ? text("guard.accepted") : text(key, { names: listed(names) }));
}

/** The numbers behind the prediction, for those who want them. */
function showFigures({ found, lengths, check }, names) {
  const lines = names.map((name, rank) => text("numbers.length", { name, length: figure(lengths[found[rank]]) }));
  if (check) {
    const [distance, threshold] = toldApart(check.distance, check.threshold);
    lines.push(text("numbers.distance", { distance }));
    lines.push(check.threshold > 0 ? text("numbers.limit", { threshold }) : text("numbers.limit.none"));
  }
  byId("prediction-figures").replaceChildren(...lines.map((line) => make("li", { textContent: line })));
  byId("prediction-numbers").hidden = false;
}

/** Two numbers with as many decimals as tell them apart. */
function toldApart(one, other) {
  for (let decimals = 1; decimals < MOST_DECIMALS; decimals++) {
    const written = [one, other].map((value) => figure(value, decimals));
    if (written[0] !== written[1]) return written;
  }
  return [one, other].map((value) => figure(value, MOST_DECIMALS));
}

/** Read the prediction aloud when the hand has come to rest. */
function speak(words) {
  clearTimeout(speaking);
  speaking = setTimeout(() => say(byId("spoken"), words), QUIET_MS);
}

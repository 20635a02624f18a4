/** What was found, in words and in pictures beside what was seen. */

import { byId, figure, make, say } from "./dom.js";
import { blank, colourOf, overlay, paint } from "./pictures.js";

const QUIET = 700; // ms without a change until the verdict is read aloud

let speaking = 0;

export function showVerdict({ card, seen, chosen, drawn }) {
  if (!seen) return showNothing();
  const severals = card.objects > 1;
  const names = seen.found.map((index) => card.classes[index]);
  const refused = seen.check?.accepted === false;
  byId("verdict").classList.toggle("refused", refused);
  nameThem(names, severals);
  say(byId("verdict-words"), refused ? "Not like anything I was trained on." : certainty(seen));
  paint(byId("input"), seen.input);
  say(byId("input-size"), `${seen.input.width} × ${seen.input.height} pixels`);
  showDrawings(card, seen, chosen, drawn);
  showDoubt(seen.check, names.join(" and "));
  byId("badge").replaceChildren(names.join(" "), make("small", {}, figure(seen.lengths[seen.found[0]])));
  byId("badge").classList.toggle("refused", refused);
  speak(names, seen);
  return undefined;
}

function showNothing() {
  byId("verdict").classList.remove("refused");
  byId("verdict-class").replaceChildren("–");
  say(byId("verdict-words"), "Nothing drawn yet.");
  byId("badge").replaceChildren();
  blank(byId("input"));
  blank(byId("drawn"));
  say(byId("input-size"), "");
  say(byId("drawn-from"), "");
  byId("doubt").hidden = byId("singles").hidden = true;
  clearTimeout(speaking);
  say(byId("spoken"), ""); // so that the same verdict is said again for the next picture
}

function nameThem(names, severals) {
  const parts = names.flatMap((name, rank) => {
    const part = make("span", { textContent: name });
    if (severals) part.style.setProperty("--own", colourOf(rank));
    return rank ? [make("small", { textContent: " and " }), part] : [part];
  });
  byId("verdict-class").replaceChildren(...parts);
  byId("verdict-class").classList.toggle("severals", severals);
  byId("verdict-class").classList.toggle("long", names.join("").length > 3);
}

/** How sure the network is, by the length of the shortest capsule that it names. */
function certainty({ found, lengths }) {
  const least = Math.min(...found.map((index) => lengths[index]));
  const words = [[0.9, "Surely."], [0.7, "Most likely."], [0.5, "Perhaps."]].find(([limit]) => least >= limit)?.[1];
  const which = found.length > 1 ? "The shorter capsule is" : "Its capsule is";
  return `${words ?? "A guess."} ${which} ${figure(least)} long.`;
}

function showDrawings(card, seen, chosen, drawn) {
  const severals = card.objects > 1;
  const index = drawn.has(chosen) ? chosen : seen.found[0];
  if (severals) overlay(byId("drawn"), seen.found.map((each) => drawn.get(each)));
  else paint(byId("drawn"), drawn.get(index));
  const capsules = seen.found.map((each) => card.classes[each]).join(" and ");
  say(byId("drawn-from"), severals ? `capsules ${capsules}` : `from capsule ${card.classes[index]}`);
  byId("drawn").setAttribute("aria-label", `What the capsule of ${severals ? capsules : card.classes[index]} draws`);
  byId("singles").hidden = !severals;
  if (severals) byId("singles").replaceChildren(...singles(card, seen, drawn));
}

/** Each found object by itself, drawn from its own capsule in its own colour. */
function singles(card, seen, drawn) {
  return seen.found.map((index, rank) => {
    const label = `What the capsule of ${card.classes[index]} draws`;
    const canvas = make("canvas", { className: "pixels", attributes: { role: "img", "aria-label": label } });
    paint(canvas, drawn.get(index), colourOf(rank));
    return make("figure", {}, canvas, make("figcaption", {}, make("b", { textContent: card.classes[index] }), " alone"));
  });
}

/** How far the drawing is from the picture, and how far it may be: below zero where no drawing would be near enough. */
function showDoubt(check, name) {
  byId("doubt").hidden = !check;
  if (!check) return;
  const { distance, threshold, accepted } = check;
  const share = threshold > 0 ? distance / (2 * threshold) : 1; // the mark of the threshold stands in the middle
  byId("meter").style.setProperty("--distance", `${Math.min(100, 100 * share)}%`);
  byId("doubt").classList.toggle("refused", !accepted);
  const limit = threshold > 0 ? `up to ${figure(threshold, 1)} would be usual` : "no drawing would be near enough";
  const words = accepted
    ? `Picture and drawing are ${figure(distance, 1)} apart; up to ${figure(threshold, 1)} is usual.`
    : `Nearest is ${name}, but picture and drawing are ${figure(distance, 1)} apart; ${limit}.`;
  say(byId("doubt-words"), words);
}

/** Read the verdict aloud when the hand has come to rest. */
function speak(names, seen) {
  clearTimeout(speaking);
  const refused = seen.check?.accepted === false;
  const text = refused ? `Not like anything I was trained on; nearest is ${names.join(" and ")}.` : `${names.join(" and ")}. ${certainty(seen)}`;
  speaking = setTimeout(() => say(byId("spoken"), text), QUIET);
}

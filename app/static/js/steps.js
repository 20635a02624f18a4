/** Steps that show what a capsule is: each does something on the page, and says what to look at. */

import { hasCapsules } from "./beside.js";
import { byId, say } from "./dom.js";
import { directionsOf } from "./handles.js";
import { giveSample, giveStrokes, takesStrokes } from "./input.js";
import { isKnown, spoken } from "./samples.js";
import { choose, move, store, values } from "./session.js";
import { text } from "./texts.js";

const TICK_MS = 60;
const TICKS = 30; // of a movement there and back

// What each step does, and where its result is to be seen.
const STEPS = [
  { words: "steps.length", place: "#capsules", act: () => giveSample(preferred()) },
  { words: "steps.others", place: "#capsules", act: () => choose(second()) },
  { words: "steps.pose", place: ".move", act: movePose },
  { words: "steps.decoder", place: ".move", act: () => move(values.seen.poses[values.chosen].map(() => 0)) },
  { words: "steps.turn", place: "#turn-section", act: turnImage },
  { words: "steps.stranger", place: "#prediction", act: () => giveStrokes([STAR]), isPossible: takesStrokes },
];

/** The steps that can be done with the model. */
const steps = () => STEPS.filter(({ isPossible = () => true }) => isPossible());

/** The tips of a star in the order in which a pen goes through them. */
function tipOf(number) {
  const angle = (number * 4 * Math.PI) / 5;
  return [0.5 + 0.38 * Math.sin(angle), 0.5 - 0.38 * Math.cos(angle)];
}

// A star is no class of a model that ships.
const STAR = { width: 0.07, points: [0, 1, 2, 3, 4, 5].map(tipOf) };

let at = 0;
let moving = 0;

export function offerSteps() {
  const offer = ({ card }) => (byId("steps-start").hidden = !card || !hasCapsules(card) || preferred() < 0);
  store.on(["card"], (now) => {
    offer(now);
    close(); // what the step says is about the model of before
  });
  offer(values);
  byId("steps-start").addEventListener("click", () => {
    byId("steps").hidden = false;
    document.body.classList.add("walking");
    go(0);
    byId("steps-next").focus();
  });
  byId("steps-back").addEventListener("click", () => go(at - 1));
  byId("steps-next").addEventListener("click", () => (at + 1 < steps().length ? go(at + 1) : end()));
  byId("steps-end").addEventListener("click", end);
  byId("steps").addEventListener("keydown", ({ key }) => key === "Escape" && end());
}

function close() {
  clearInterval(moving);
  byId("steps").hidden = true;
  document.body.classList.remove("walking");
}

function end() {
  close();
  byId("steps-start").focus();
}

async function go(step) {
  clearInterval(moving);
  at = step;
  const count = steps().length;
  const { words, place, act } = steps()[step];
  say(byId("steps-count"), text("steps.count", { step: step + 1, steps: count }));
  const isPair = step === 0 && values.card.objects > 1;
  say(byId("steps-text"), text(isPair ? "steps.length.several" : words, { name: spoken(values.samples[preferred()].name) }));
  say(byId("steps-next"), text(step + 1 < count ? "steps.next" : "steps.done"));
  byId("steps-back").disabled = step === 0;
  document.querySelector(place).scrollIntoView({ block: "center", behavior: isCalm() ? "auto" : "smooth" });
  if (step > 0) await isAnswered(step);
  if (at === step && !byId("steps").hidden && (values.seen || step === 0)) act();
}

const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Wait until there is an answer to the first step, where its image is still asked about. */
function isAnswered(step) {
  if (values.seen) return true;
  return new Promise((resolve) => {
    store.on(["seen"], ({ seen }) => (seen || at !== step) && resolve());
  });
}

/** The number of the sample to begin with, of a class that the model knows: a 7 if there is one; −1 if there is none. */
function preferred() {
  const known = values.samples.map(({ name }) => isKnown(values.card, name) && name);
  return known.includes("7") ? known.indexOf("7") : known.findIndex(Boolean);
}

/** The class with the longest capsule of those that were not found. */
function second() {
  const { seen } = values;
  const others = seen.lengths.map((length, index) => (seen.found.includes(index) ? -1 : length));
  return others.indexOf(Math.max(...others));
}

/** Move a handle there and back; where motion is not wanted, to one end. */
function sway(slider, from, to) {
  if (!slider || slider.disabled) return;
  const set = (share) => {
    slider.value = from + share * (to - from);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  };
  if (isCalm()) return void set(1);
  let tick = 0;
  clearInterval(moving);
  const own = setInterval(() => {
    set(Math.sin((Math.PI * ++tick) / TICKS));
    if (tick >= TICKS) clearInterval(own);
  }, TICK_MS);
  moving = own;
}

function movePose() {
  const { card, seen } = values;
  if (values.chosen !== seen.found[0]) choose(seen.found[0]);
  const names = directionsOf(card, seen.found[0]).map(({ property }) => property);
  const slider = byId(`handle-${names.includes("slant") ? "slant" : names[0]}`) ?? byId("dim-0");
  sway(slider, Number(slider.value), Number(slider.max));
}

function turnImage() {
  const [slider, by] = [byId("turn"), byId("turn-by")];
  if (by.value !== "rotation" && [...by.options].some(({ value }) => value === "rotation")) {
    by.value = "rotation";
    by.dispatchEvent(new Event("change"));
  }
  if (values.chosen !== values.seen.found[0] || values.pose) choose(values.seen.found[0]);
  const wait = setInterval(() => {
    if (STEPS[at].act !== turnImage || byId("steps").hidden) return clearInterval(wait);
    if (slider.disabled) return undefined;
    clearInterval(wait);
    return sway(slider, Number(slider.max) / 2, Number(slider.max));
  }, 100);
}

/** Two overlapping digits, and the parts that vote for each of them, in every iteration of the routing. */

import * as api from "./api.js";
import { byId, figure, make, say, watchSight } from "./dom.js";
import { LatestRequest } from "./latest-request.js";
import { reporter } from "./status-banner.js";
import { COLOURS, blank, paint } from "./images.js";
import { samplesFor } from "./samples.js";
import { store, values } from "./session.js";
import { text } from "./texts.js";

const APART_PIXELS = 5; // pixels that each digit is moved from the middle
const PAUSE_MS = 1400; // ms from one iteration to the next
const START = ["3", "4"];
const SVG = "http://www.w3.org/2000/svg";

const slider = byId("votes-iteration");
const play = byId("votes-play");
const choices = [byId("votes-left"), byId("votes-right")];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let inSight = false;
let timer = 0;
let shown = null; // {name, digits, answers, circles}: the model, and what it says of the two digits

export function keepVotes() {
  const asking = new LatestRequest(reporter("votes", { refused: forget }));
  const refresh = () => {
    const card = routed();
    byId("votes-section").hidden = !card;
    if (card && inSight) asking.now((signal) => ask(card, signal));
  };
  store.on(["card"], () => {
    byId("votes-section").hidden = !routed();
    if (shown?.name !== routed()?.name) refresh();
  });
  for (const choice of choices) choice.addEventListener("change", refresh);
  slider.addEventListener("input", () => {
    stop();
    showIteration();
  });
  play.addEventListener("click", () => (timer ? stop() : run()));
  watchSight(byId("votes-section"), "200px", (now) => {
    inSight = now;
    if (!inSight) stop();
    else if (shown?.name !== routed()?.name) refresh();
  });
}

/** Of the models of single digits whose capsules have a place: the chosen one, or else the one that routes longest. */
function routed() {
  const fit = ({ routing, input, objects }) => routing && input.preprocess === "mnist" && objects === 1;
  if (values.card && fit(values.card)) return values.card;
  const all = (values.models ?? []).filter(fit);
  return all.sort((one, other) => other.routing.iterations - one.routing.iterations)[0];
}

/** Offer the classes of a model that have a sample; a choice that is one of them stays. */
function offer({ classes }, samples) {
  const names = classes.filter((each) => samples.some(({ name }) => name === each));
  choices.forEach((choice, side) => {
    const before = choice.value || START[side];
    choice.replaceChildren(...names.map((value) => make("option", { value, textContent: value })));
    choice.value = names.includes(before) ? before : (names[side] ?? names[0]);
    choice.disabled = names.length === 0;
  });
}

/** Put both digits into one image, and ask for the votes for each. */
async function ask(card, signal) {
  stop();
  const samples = await samplesFor(card);
  signal.throwIfAborted();
  offer(card, samples);
  const digits = choices.map(({ value }) => value);
  const bitmaps = digits.map((digit) => samples.find(({ name }) => name === digit)?.bitmap);
  if (!bitmaps.every(Boolean)) return forget();
  const image = await both(bitmaps, card.input);
  const query = { model: card.name, preprocess: "none", method: "votes" };
  const answers = await Promise.all(
    digits.map((label) => api.explain(image.blob, { ...query, label }, signal)),
  );
  signal.throwIfAborted();
  paint(byId("votes-input"), image.bitmap);
  shown = { name: card.name, digits, answers, circles: circles(answers[0].grid, card.input) };
  slider.max = answers[0].iterations.length;
  slider.value = 1;
  slider.disabled = play.disabled = false;
  showIteration();
  if (calm.matches) return;
  run();
}

async function both(bitmaps, { width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "lighten";
  bitmaps.forEach((bitmap, side) => context.drawImage(bitmap, side ? APART_PIXELS : -APART_PIXELS, 0));
  return { blob: await canvas.convertToBlob({ type: "image/png" }), bitmap: await createImageBitmap(canvas) };
}

/** A circle for each place of the grid, where it sits in the image, row by row. */
function circles({ rows, columns, field, step, first }, { width, height }) {
  const drawing = byId("votes-places");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const middle = (place) => first + place * step + field / 2;
  const made = [];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const circle = document.createElementNS(SVG, "circle");
      circle.setAttribute("cx", middle(column));
      circle.setAttribute("cy", middle(row));
      made.push(circle);
    }
  }
  drawing.replaceChildren(...made);
  drawing.style.setProperty("--most", `${0.55 * step}px`);
  return made;
}

function showIteration() {
  const at = Number(slider.value) - 1;
  const now = shown.answers.map(({ iterations }) => iterations[at]);
  const [left, right] = now.map(({ votes }) => votes.flat().map((vote) => Math.max(0, vote)));
  const most = Math.max(...shown.answers.flatMap(({ iterations }) => iterations.flatMap(({ votes }) => votes.flat())));
  shown.circles.forEach((circle, place) => {
    const sum = left[place] + right[place];
    const share = sum ? left[place] / sum : 0.5;
    circle.style.setProperty("--size", Math.sqrt(Math.min(1, sum / most)));
    circle.style.fill = `color-mix(in oklab, ${COLOURS[0]} ${Math.round(100 * share)}%, ${COLOURS[1]})`;
  });
  const count = Number(slider.max);
  const words = text("votes.iteration", { number: at + 1, count });
  slider.setAttribute("aria-valuetext", words);
  say(byId("votes-now"), words);
  now.forEach(({ length }, side) => {
    const key = side ? "votes-right-length" : "votes-left-length";
    say(byId(key), text("votes.length", { name: shown.digits[side], length: figure(length, 2) }));
    byId(key).style.setProperty("--length", length);
  });
}

/** Show one iteration after the other, from the first to the last. */
function run() {
  if (!shown) return;
  slider.value = 1;
  showIteration();
  say(play, text("votes.stop"));
  clearInterval(timer); // one that was started before the answer came
  timer = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    showIteration();
    if (slider.value === slider.max) stop();
  }, PAUSE_MS);
}

function stop() {
  clearInterval(timer);
  timer = 0;
  say(play, text("votes.play"));
}

function forget() {
  stop();
  shown = null;
  slider.disabled = play.disabled = true;
  blank(byId("votes-input"));
  byId("votes-places").replaceChildren();
}

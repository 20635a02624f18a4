/** Turn the image, and watch the pose turn: one question gives every step, and the hand goes through them. */

import * as api from "./api.js";
import { askBeside, markStep, showWays } from "./beside.js";
import { byId, figure, make, say, shape, watchSight } from "./dom.js";
import { PROPERTIES, amountOf, directionsOf, propertyName, rate } from "./handles.js";
import { LatestRequest } from "./latest-request.js";
import { asAskedAgain, queryOf } from "./queries.js";
import { reporter } from "./status-banner.js";
import { bitmapOf, blank, paint } from "./images.js";
import { store, values } from "./session.js";
import { text } from "./texts.js";

const STEPS = 25;
const REST_MS = 250;
const VIEW = { width: 240, height: 150, edge: 14 };

const slider = byId("turn");
const choice = byId("turn-by");
const canvas = byId("turn-input");
let inSight = false;
let due = 0;
let found = null; // the answer for the image and the property that are shown

export function keepTurning() {
  const turning = new LatestRequest(reporter("turn", { refused: forget }));
  const refresh = () => {
    clearTimeout(due);
    turning.cancel(); // an answer of before must not fill what is empty
    forget();
    const { card, seen, chosen } = values;
    if (!seen) return;
    offer(card, chosen);
    const asked = asAskedAgain(seen);
    if (inSight) due = setTimeout(() => turning.now((signal) => ask(card, asked, chosen, signal)), REST_MS);
  };
  store.on(["seen", "chosen"], refresh);
  choice.addEventListener("change", refresh);
  slider.addEventListener("input", showStep);
  drag();
  watchSight(byId("turn-section"), "300px", (now) => {
    inSight = now;
    if (inSight) refresh();
  });
}

/** The properties of the class: those that have a direction, or all, of which the service foretells nothing. */
function offer(card, chosen) {
  const before = choice.value;
  const named = directionsOf(card, chosen).map(({ property }) => property);
  const offered = named.length ? named : PROPERTIES;
  choice.replaceChildren(...offered.map((value) => make("option", { value, textContent: propertyName(value) })));
  choice.value = offered.includes(before) ? before : offered[0];
  choice.disabled = false;
}

async function ask(card, image, chosen, signal) {
  const by = choice.value;
  const question = { by, steps: STEPS, label: card.classes[chosen] };
  const [answer, beside] = await Promise.all([
    api.transform(image.blob, { ...queryOf(card, image), ...question }, signal),
    askBeside(card, question.label, question, signal),
  ]);
  const bitmaps = await Promise.all(
    answer.steps.map(({ input, reconstruction, foretold_reconstruction: foretold }) =>
      Promise.all([input, reconstruction, foretold].map((file) => file && bitmapOf(file))),
    ),
  );
  signal.throwIfAborted();
  const direction = directionsOf(card, chosen).find(({ property }) => property === by);
  found = { ...answer, bitmaps, along: direction && rate(direction, answer.pose) };
  slider.max = STEPS - 1;
  slider.value = (STEPS - 1) / 2;
  slider.disabled = false;
  plot();
  showWays({ card, answer }, beside);
  showStep();
}

function forget() {
  found = null;
  slider.disabled = true;
  for (const id of ["turn-input", "turn-read", "turn-foretold"]) blank(byId(id));
  byId("turn-plot").replaceChildren();
  showWays(null, null);
  for (const id of ["turn-amount", "turn-length", "turn-words"]) say(byId(id), "");
}

function showStep() {
  if (!found) return;
  const at = Number(slider.value);
  const step = found.steps[at];
  const [input, read, foretold] = found.bitmaps[at];
  paint(canvas, input);
  paint(byId("turn-read"), read);
  byId("turn-foretold-figure").hidden = !foretold;
  if (foretold) paint(byId("turn-foretold"), foretold);
  const amount = amountOf(step.amount, found.unit);
  slider.setAttribute("aria-valuetext", amount);
  say(byId("turn-amount"), amount);
  say(byId("turn-length"), text("turn.length", { length: figure(step.length, 3) }));
  byId("turn-meter").style.setProperty("--length", step.length);
  const share = found.explained;
  say(
    byId("turn-words"),
    share === null
      ? text("turn.unpredicted")
      : text("turn.share", { share: figure(100 * Math.max(0, share), 0) }),
  );
  const dot = byId("turn-plot").querySelector(".now");
  if (dot) place(dot, ...spot(at));
  markStep(at);
}

/** How far the pose of a step has moved along its direction, in the direction's unit. */
function moved({ pose }) {
  const { along, pose: given } = found;
  const square = along.reduce((sum, each) => sum + each * each, 0);
  return pose.reduce((sum, each, dim) => sum + (each - given[dim]) * along[dim], 0) / square;
}

/** The place of a step in the plot: across what was asked, upwards what the pose says. */
function spot(at) {
  const { steps } = found;
  const reach = Math.max(...steps.map(({ amount }) => Math.abs(amount)));
  const [x, y] = [steps[at].amount, moved(steps[at])].map((value) => Math.max(-1, Math.min(1, value / reach)));
  const { width, height, edge } = VIEW;
  return [width / 2 + x * (width / 2 - edge), height / 2 - y * (height / 2 - edge)];
}

function plot() {
  const { width, height, edge } = VIEW;
  const drawing = byId("turn-plot");
  drawing.toggleAttribute("hidden", !found.along); // an SVG has no such property
  if (!found.along) return;
  const line = shape("line", { class: "foretold", x1: edge, y1: height - edge, x2: width - edge, y2: edge });
  const dots = found.steps.map((_, at) => place(shape("circle", { class: "read", r: 2.5 }), ...spot(at)));
  drawing.replaceChildren(line, ...dots, shape("circle", { class: "now", r: 5 }));
}

function place(circle, x, y) {
  circle.setAttribute("cx", x);
  circle.setAttribute("cy", y);
  return circle;
}

/** A hand on the image itself: it turns about the middle, or moves as the hand moves. */
function drag() {
  let start = null;
  const grip = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return { x: (clientX - box.left) / box.width - 0.5, y: (clientY - box.top) / box.height - 0.5 };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (!found || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    start = { ...grip(event), at: Number(slider.value) };
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start || !found) return;
    const amount = found.steps[start.at].amount + dragged(start, grip(event));
    const far = found.steps.map((step) => Math.abs(step.amount - amount));
    slider.value = far.indexOf(Math.min(...far));
    showStep();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (start = null));
}

/** By what amount a hand has changed the image that went from one place to another, in shares of its side. */
function dragged(from, to) {
  const reach = found.steps.at(-1).amount;
  if (found.property === "rotation") {
    const turned = ((Math.atan2(to.y, to.x) - Math.atan2(from.y, from.x)) * 180) / Math.PI;
    return ((turned + 540) % 360) - 180;
  }
  const upright = ["height", "shift_y"].includes(found.property);
  return 2 * reach * (upright ? (to.y - from.y) * (found.property === "height" ? -1 : 1) : to.x - from.x);
}

/** Beside the capsules a network without them: the way of its features through space, drawn as the pose's way is. */

import * as api from "./api.js";
import { byId, figure, make, say, shape } from "./dom.js";
import { asAskedAgain, queryOf } from "./queries.js";
import { values } from "./session.js";
import { language, text } from "./texts.js";

const VIEW = { width: 240, height: 100, edge: 12 };
const LENGTHS = { pose: "beside.pose.length", features: "beside.features.length" };
const ALIKE = 0.01; // of R², below which two ways are called equally straight

/** Whether the vectors of a model are the poses of capsules, and not groups of a CNN's features. */
export const hasCapsules = ({ config }) => !config.architecture.startsWith("cnn");

/** A model of the other kind that takes the same images and knows the class, or none. */
function counterpart(card, label) {
  const { width, height, channels } = card.input;
  return values.models.find(
    ({ classes, input, objects, ...other }) =>
      hasCapsules(other) !== hasCapsules(card) &&
      objects === card.objects &&
      classes.includes(label) &&
      input.width === width && input.height === height && input.channels === channels,
  );
}

/** Ask the model of the other kind the same; gives {card, answer}, or null where there is none or it refuses. */
export async function askBeside(card, label, question, signal) {
  const other = counterpart(card, label);
  if (!other) return null;
  const { seen } = values;
  try {
    const query = { ...queryOf(other, asAskedAgain(seen)), ...question };
    return { card: other, answer: await api.transform(asAskedAgain(seen).blob, query, signal) };
  } catch (error) {
    if (error instanceof api.Refusal) return null;
    throw error;
  }
}

/** Show both ways; null for either takes them away. */
export function showWays(one, other) {
  byId("beside").hidden = !one || !other;
  if (!one || !other) return;
  const [pose, features] = hasCapsules(one.card) ? [one, other] : [other, one];
  draw("pose", pose);
  draw("features", features);
  const shares = [pose, features].map(({ answer }) => answer.linearity ?? 1);
  const gap = shares[0] - shares[1];
  const key = Math.abs(gap) < ALIKE ? "beside.alike" : gap > 0 ? "beside.pose" : "beside.features";
  say(byId("beside-words"), text(key));
}

/** Mark a step on both ways. */
export function markStep(at) {
  for (const drawing of document.querySelectorAll(".ways svg")) {
    const dot = drawing.querySelectorAll(".read")[at];
    const now = drawing.querySelector(".now");
    if (dot && now) for (const name of ["cx", "cy"]) now.setAttribute(name, dot.getAttribute(name));
  }
}

function draw(name, { card, answer }) {
  const { width, height, edge } = VIEW;
  const places = seenFromTheSide(answer.steps);
  const far = Math.max(...places.map(([, y]) => Math.abs(y)));
  const scale = Math.min(width / 2 - edge, (height / 2 - edge) / (far || 1)); // a bent way has to fit as well
  const spots = places.map(([x, y]) => [width / 2 + x * scale, height / 2 - y * scale]);
  const line = shape("line", { class: "foretold", x1: edge, y1: height / 2, x2: width - edge, y2: height / 2 });
  const way = shape("polyline", { class: "way-line", points: spots.map((spot) => spot.join()).join(" ") });
  const dots = spots.map(([cx, cy]) => shape("circle", { class: "read", r: 2.5, cx, cy }));
  byId(`way-${name}`).replaceChildren(line, way, ...dots, shape("circle", { class: "now", r: 5 }));
  const lengths = answer.steps.map(({ length }) => length);
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)].map((length) => figure(length, 2));
  const share = answer.linearity === null ? "–" : figure(100 * Math.max(0, answer.linearity), 0);
  const weights = text("beside.weights", { count: (card.parameters.encoder ?? 0).toLocaleString(language) });
  const facts = [text("beside.straight", { share }), text(LENGTHS[name], { least, most }), weights];
  byId(`way-${name}-words`).replaceChildren(make("b", { textContent: card.name }), `: ${facts.join(" ")}`);
}

/**
 * Vectors of steps as places [x, y]: x along the best straight line through them, y the way in which they leave it most.
 * Both are in the same measure, and the farthest along the line is at 1 or -1.
 */
function seenFromTheSide(steps) {
  const amounts = centred(steps.map(({ amount }) => [amount])).map(([amount]) => amount);
  const vectors = centred(steps.map(({ pose }) => pose));
  const line = unit(vectors[0].map((_, dim) => sum(vectors.map((vector, at) => amounts[at] * vector[dim]))));
  const along = vectors.map((vector) => dot(vector, line));
  const rest = vectors.map((vector, at) => vector.map((value, dim) => value - along[at] * line[dim]));
  let aside = unit(rest.reduce((most, each) => (dot(each, each) > dot(most, most) ? each : most)));
  for (let round = 0; round < 20; round++) {
    const seen = rest.map((each) => dot(each, aside));
    aside = unit(aside.map((_, dim) => sum(rest.map((each, at) => seen[at] * each[dim]))));
  }
  const reach = Math.max(...along.map(Math.abs)) || 1;
  return along.map((x, at) => [x / reach, dot(rest[at], aside) / reach]);
}

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
const dot = (one, other) => sum(one.map((value, dim) => value * other[dim]));
const unit = (vector) => vector.map((value) => value / (Math.sqrt(dot(vector, vector)) || 1));

function centred(vectors) {
  const mean = vectors[0].map((_, dim) => sum(vectors.map((vector) => vector[dim])) / vectors.length);
  return vectors.map((vector) => vector.map((value, dim) => value - mean[dim]));
}

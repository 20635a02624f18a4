/** The models side by side: what each is for, its error, its size and its architecture, and the whole card. */

import { byId, figure, make } from "./dom.js";
import { store, values } from "./session.js";
import { hasText, language, text } from "./texts.js";

const LEFT_OUT = ["classes", "config", "input", "pose_directions", "pose_meaning", "samples", "variants"];

const SENTENCES = {
  "mnist": "model.mnist",
  "mnist-capsnet": "model.capsnet",
  "mnist-cnn": "model.cnn",
  "mnist-shared": "model.shared",
  "multimnist": "model.multimnist",
  "fashion_mnist": "model.fashion",
};

const ARCHITECTURES = {
  capsnet: "architecture.capsnet",
  cnn: "architecture.cnn",
  "cnn-residual": "architecture.cnn",
  "cnn-small": "architecture.cnn",
  efficient: "architecture.efficient",
  residual: "architecture.residual",
  shared: "architecture.shared",
};

export function offerCards(turnTo) {
  byId("models").addEventListener("click", () => {
    byId("models-list").replaceChildren(...values.models.map((card) => item(card, turnTo)));
    byId("models-dialog").showModal();
  });
  const enable = ({ models }) => (byId("models").disabled = models.length === 0);
  store.on(["models"], enable);
  enable(values);
}

function item(card, turnTo) {
  const isUsed = card.name === values.card?.name;
  const use = make("button", { type: "button", textContent: text(isUsed ? "models.used" : "models.use"), disabled: isUsed });
  use.setAttribute("aria-label", `${use.textContent}: ${card.name}`);
  use.addEventListener("click", () => {
    byId("models-dialog").close();
    turnTo(card.name);
  });
  const facts = make("dl", {}, ...pairs(mainFacts(card)));
  const summary = make("summary", { textContent: text("models.card") });
  summary.setAttribute("aria-label", `${text("models.card")}: ${card.name}`);
  const whole = make("details", {}, summary, make("dl", {}, ...pairs(allFacts(card))));
  const head = make("div", { className: "row" }, make("h3", { textContent: card.name }), use);
  return make("li", {}, head, make("p", { textContent: sentence(card) }), facts, whole);
}

/** One sentence about a model: written for those that ship, made of the card's facts for others. */
function sentence({ name, classes, input, objects }) {
  if (Object.hasOwn(SENTENCES, name)) return text(SENTENCES[name]);
  const values = { count: number(classes.length), width: input.width, height: input.height, objects };
  return text(objects > 1 ? "model.any.several" : "model.any", values);
}

function mainFacts(card) {
  const { metrics } = card.variants[card.serving.precision] ?? Object.values(card.variants)[0];
  const { architecture } = card.config;
  const isKnown = Object.hasOwn(ARCHITECTURES, architecture);
  const facts = { "models.architecture": isKnown ? text(ARCHITECTURES[architecture]) : architecture };
  if (metrics) {
    const share = figure(100 * (metrics.exact_match_error ?? metrics.error), 2); // of images, not of their digits
    facts["models.error"] = text("models.error.of", { share, images: number(metrics.images), dataset: metrics.dataset });
  }
  facts["models.size"] = text("models.size.of", sizes(card));
  return facts;
}

const sizes = ({ parameters = {} }) => ({
  encoder: number(parameters.encoder ?? 0),
  decoder: number(parameters.decoder ?? 0),
});

/** Every other fact of the card, under the names that it has there. */
function allFacts(card) {
  const facts = {
    "models.classes": card.classes.join(", "),
    "models.input": `${card.input.width} × ${card.input.height} × ${card.input.channels}, ${card.input.preprocess}`,
    "models.pose": number(card.config.pose_dim),
    "models.served": `${card.serving.precision}, ${card.serving.provider}`,
  };
  for (const [name, value] of Object.entries(card.config)) facts[`config.${name}`] = plain(value);
  for (const [name, value] of Object.entries(card)) {
    if (!LEFT_OUT.includes(name)) flatten(name, value, facts);
  }
  return facts;
}

function flatten(name, value, facts) {
  if (value === null || value === undefined) return;
  if (typeof value === "object" && !isPlainList(value)) {
    for (const [part, inner] of Object.entries(value)) flatten(`${name}.${part}`, inner, facts);
  } else facts[name] = plain(value);
}

const isPlainList = (value) => Array.isArray(value) && value.every((each) => Object(each) !== each);

const plain = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "number" ? number(value) : String(value));

const pairs = (facts) =>
  Object.entries(facts).map(([name, value]) => {
    const term = make("dt", { textContent: hasText(name) ? text(name) : name });
    return make("div", {}, term, make("dd", { textContent: value }));
  });

const number = (value) =>
  typeof value === "number" ? value.toLocaleString(language, { maximumFractionDigits: 6 }) : value;

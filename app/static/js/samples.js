/** A strip of small images to begin with: one for each data set, read from one file. */

import { Gone, Refusal, samplesOf } from "./api.js";
import { byId, make } from "./dom.js";
import { listed, text } from "./texts.js";

const STRIPS = new URL("../samples/", import.meta.url);

const fetchIndex = async () => (await fetchFile("index.json")).json();

const early = fetchIndex().catch(() => null); // on its way while the models are asked for
let strips = null;

/** The samples that suit a model, as [{name, bitmap, blob}]: its own, else those of its data set, if there are any. */
export async function samplesFor(card) {
  if (card.samples?.length) return cutAll(await samplesOf(card.name), { ...card.input, names: card.samples });
  strips ??= (await early) ?? (await fetchIndex());
  const strip = strips[stripOf(card)];
  if (!strip) return [];
  return cutAll(await (await fetchFile(strip.file)).blob(), strip);
}

/** A file of the strips; raises the errors of a question to the service, which may be asked again. */
async function fetchFile(name) {
  const response = await fetch(new URL(name, STRIPS)).catch((error) => {
    throw new Gone(error.message);
  });
  if (!response.ok) throw new Refusal(response.status, { kind: "", detail: name });
  return response;
}

async function cutAll(blob, strip) {
  const whole = await createImageBitmap(blob);
  return Promise.all(strip.names.map((name, place) => cut(whole, strip, name, place)));
}

/** The strip of the data set that a model was trained on, or of one that is read in the same way. */
function stripOf(card) {
  if (card.objects > 1) return "multimnist";
  const known = [card.training?.dataset, card.name].find((name) => name in strips);
  return known ?? { mnist: "mnist", fashion: "fashion_mnist" }[card.input.preprocess];
}

async function cut(whole, { width, height }, name, place) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(whole, -place * width, 0);
  return { name, blob: await canvas.convertToBlob({ type: "image/png" }), bitmap: await createImageBitmap(canvas) };
}

/** The name of a sample in the page's language; those of pairs are "2 and 7". */
export const spoken = (name) => listed(namesIn(name));

const namesIn = (name) => name.split(" and ");

/** Whether a sample shows classes that a model knows. */
export const isKnown = ({ classes }, name) =>
  [[name], namesIn(name)].some((names) => names.every((each) => classes.includes(each)));

/** Show the samples; `pick(number)` is called for the one that is pressed. */
export function showSamples(samples, pick) {
  const buttons = samples.map(({ name, bitmap }, number) => {
    const canvas = make("canvas", { className: "pixels", width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const title = spoken(name);
    const label = text("samples.sample", { name: title });
    const button = make("button", { type: "button", title, attributes: { "aria-label": label } }, canvas);
    button.addEventListener("click", () => pick(number));
    return button;
  });
  byId("samples").replaceChildren(...buttons);
  byId("samples").hidden = buttons.length === 0;
}

export function markSample(number) {
  [...byId("samples").children].forEach((button, place) => button.setAttribute("aria-pressed", place === number));
}

/** The page put together: what a person does becomes a question, and every answer is shown. */

import { Gone, listModels, takeKeyFromAddress } from "./api.js";
import { hasCapsules } from "./beside.js";
import { CapsuleTable } from "./capsules.js";
import { byId, make, say } from "./dom.js";
import { Handles } from "./handles.js";
import { allowPen, begin, giveFile, giveSample, listenToBoard, shapeBoard } from "./input.js";
import { keepForReload, keptState } from "./keep.js";
import { LatestRequest } from "./latest-request.js";
import { mention, reporter, whenKeyIsGiven } from "./status-banner.js";
import { blank, colourOf, paint } from "./images.js";
import { showProgress } from "./progress.js";
import { isKnown, markSample, samplesFor, showSamples } from "./samples.js";
import { NOTHING, choose, given, looking, move, moving, poseNow, store, values } from "./session.js";
import { showReading } from "./reading.js";
import { present, welcome } from "./present.js";
import { LONGEST_LINK, fromFragment, toFragment } from "./share.js";
import { Sheet } from "./sheet.js";
import { keepSheet } from "./sweep-controller.js";
import { Sliders } from "./sliders.js";
import { listenForFiles, offerCamera } from "./sources.js";
import { listed, text } from "./texts.js";
import { confirm, copy, keepStateInLinks, offerThemes, showTexts } from "./tools.js";
import { keepTurning } from "./turn.js";
import { showPrediction } from "./prediction-view.js";
import { keepVotes } from "./votes.js";

const loading = new LatestRequest(reporter("models"));
const table = new CapsuleTable(choose);
const sliders = new Sliders((dim, value) => move(poseNow().with(dim, value)));
const handles = new Handles((change) => move(poseNow().map((value, dim) => value + change[dim])));
const sheet = new Sheet(
  (dim, delta) => move(given().with(dim, given()[dim] + delta)),
  (frame) => paintMoved(frame ?? values.moved),
);

// --------------------------------------------------------------------------------------------------- shown content

function paintMoved(bitmap) {
  const { card, seen, chosen } = values;
  for (const canvas of [byId("moved"), byId("mirror")]) {
    const rank = seen?.found.indexOf(chosen) ?? -1;
    if (bitmap) paint(canvas, bitmap, card.objects > 1 && rank >= 0 ? colourOf(rank) : null);
    else blank(canvas);
  }
}

store.on(["card"], ({ card }) => describeModel(card)); // first, because the others fill what it builds
store.on(["samples"], ({ card, samples }) => {
  showSamples(samples, giveSample);
  const names = samples.map(({ name }) => name).filter((name) => !isKnown(card, name));
  say(byId("strangers"), names.length ? text("guard.strangers", { names: listed(names) }) : "");
});
store.on(["seen", "chosen", "drawn"], showPrediction);
store.on(["seen"], showReading);
store.on(["seen", "chosen"], (now) => table.show(now));
store.on(["seen", "chosen", "pose"], (now) => sliders.show(now));
store.on(["seen", "chosen", "pose"], (now) => handles.show(now));
store.on(["seen", "moved"], ({ moved }) => paintMoved(moved));
store.on(["seen", "image"], ({ seen, image, asking }) => {
  byId("share").disabled = byId("chosen").disabled = !seen;
  markSample(image?.origin.sample ?? null);
  if (seen || asking) return;
  say(byId("prediction-words"), text(image ? "prediction.unanswered" : "prediction.nothing")); // the notice says why
});
store.on(["seen", "chosen", "pose"], ({ card, chosen, pose }) => {
  byId("reset").disabled = !pose;
  byId("chosen").value = chosen ?? "";
  const name = card?.classes[chosen]; // the board may be cleared before there is a model
  const words = chosen === null ? "" : text(pose ? "pose.moved.of" : "pose.given.of", { name });
  for (const id of ["moved-words", "mirror-words"]) say(byId(id), words);
});

function describeModel(card) {
  const { classes, config, input } = card;
  shapeBoard(input);
  allowPen(takesStrokes(card));
  table.shape(card);
  sliders.shape(card);
  byId("chosen").replaceChildren(...classes.map((label, index) => make("option", { value: index, textContent: label })));
  for (const place of document.querySelectorAll("[data-card=dims]")) say(place, String(config.pose_dim));
  for (const place of document.querySelectorAll("[data-card=class]")) say(place, classes[7] ?? classes[0]);
  say(byId("give-words"), invitation(card));
  const title = hasCapsules(card) ? "capsules.title" : "features.title";
  say(byId("capsules-words"), text(title, { count: classes.length, dims: config.pose_dim }));
  byId("capsules-plain").hidden = hasCapsules(card);
}

/** What to give to a model, in a few words: they follow the way it reads images, and its classes. */
function invitation({ classes, input, objects }) {
  if (input.preprocess !== "mnist") return text("give.image");
  if (!classes.every((name) => /^\d$/.test(name))) return text("give.class", { count: classes.length });
  return text(objects > 1 ? "give.digits" : "give.digit");
}

/** Whether a model reads images as strokes: of a photograph in colour a pen draws nothing. */
const takesStrokes = ({ input }) => ["mnist", "fashion"].includes(input.preprocess);

// ---------------------------------------------------------------------------------------------------------- the models

/** What the address says: the state of a link, or only a model, as `?model=NAME`. */
function fromAddress() {
  const state = fromFragment(location.hash);
  return { ...state, model: state.model ?? new URLSearchParams(location.search).get("model") };
}

let start = null; // the state to begin with, until a model is there

/** List the models and turn to one, with the state that a link says unless another is given. */
function loadModels(state = fromAddress()) {
  start = state;
  loading.now(async (signal) => {
    const answer = await listModels(signal);
    store.set({ models: answer.models });
    byId("model").replaceChildren(...answer.models.map(({ name }) => make("option", { value: name, textContent: name })));
    byId("model").disabled = false;
    const wanted = answer.models.some(({ name }) => name === state.model) ? state.model : answer.default;
    await useModel(wanted, state);
  });
}

/** The content of the page, for a start that is no new one: the same with a key that the server takes. */
function stateNow() {
  const { card, image, chosen, pose } = values;
  return start ?? { model: card.name, sample: image?.origin.sample, chosen, pose };
}

let turns = 0; // to a model; of two that overlap the later one holds, whichever samples come first

/** Turn to a model, and to the image that a link says, or else to the one that was there. */
async function useModel(model, state = {}) {
  const turn = ++turns;
  const card = values.models.find((each) => each.name === model);
  byId("model").value = model;
  const samples = await samplesFor(card).catch((error) => {
    if (error instanceof Gone || error.passes) throw error; // it is tried again
    return []; // the page is of use without them
  });
  if (turn !== turns) return;
  for (const latest of [looking, moving]) latest.cancel();
  const before = values.image;
  const name = values.samples[before?.origin.sample]?.name;
  const kept = samples.findIndex((each) => each.name === name);
  start = null;
  store.set({ ...NOTHING, card, samples });
  begin({ ...state, sample: state.sample ?? (kept < 0 ? null : kept) }, before);
}

/** Turn to a model, and try again where the server does not answer. */
const turnTo = (name, state) => loading.now(() => useModel(name, state));

// -------------------------------------------------------------------------------------------------------------- wiring

async function share() {
  const fragment = toFragment(values);
  if (fragment.length > LONGEST_LINK) return mention(text("share.large"));
  history.replaceState(null, "", fragment);
  if (await copy(location.href)) return confirm(byId("share"), text("share.copied"));
  return showTexts(text("share.title"), text("share.hint"), [{ title: text("share.link"), text: location.href }]);
}

offerThemes();
welcome();
const fragmentNow = () => (values.card ? toFragment(values) : location.hash);
keepStateInLinks(fragmentNow);
listenToBoard();
keepSheet(sheet);
keepTurning();
keepVotes();
present(fragmentNow); // behind what hides sections
byId("reset").addEventListener("click", () => move(null));
byId("chosen").addEventListener("change", ({ target }) => choose(Number(target.value)));
byId("model").addEventListener("change", ({ target }) => turnTo(target.value));
byId("share").addEventListener("click", share);
listenForFiles(giveFile);
offerCamera(giveFile);
whenKeyIsGiven(() => loadModels(stateNow()));
window.addEventListener("hashchange", () => {
  const brought = takeKeyFromAddress();
  if (location.hash.includes("=")) loadModels(); // not the skip link's, which says only where to go
  else if (brought) loadModels(stateNow());
});
showProgress();
keepForReload();
loadModels(keptState() ?? fromAddress());

const LATER_MS = 3000; // ms: where no answer comes, what comes later does so all the same
const LATER = import.meta.resolve("./later.js");
let isWhole = false;

/** Fetch the file before it is imported: some browsers keep the failure of an import, and never ask again. */
async function fetchRest() {
  const answer = await fetch(LATER);
  await answer.blob();
  if (!answer.ok) throw new Gone(answer.statusText);
  return import("./later.js");
}

const loadRest = async () => {
  if (isWhole) return;
  isWhole = true;
  const rest = await fetchRest().catch(() => null);
  if (rest) return void rest.begin((name, image) => turnTo(name, { image }));
  isWhole = false; // the server was away
  setTimeout(loadRest, LATER_MS);
};
store.on(["seen"], ({ seen }) => seen && loadRest());
setTimeout(loadRest, LATER_MS);

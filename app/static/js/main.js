/** The page put together: what a person does becomes a question, and every answer is shown. */

import { listModels } from "./api.js";
import { Board } from "./board.js";
import { CapsuleTable } from "./capsules.js";
import { commandsFor } from "./curl.js";
import { byId, make, say } from "./dom.js";
import { Latest } from "./latest.js";
import { drawPoses, look, sheetOf } from "./look.js";
import { dismiss, mention, reporter, whenKeyIsGiven } from "./notice.js";
import { blank, colourOf, paint } from "./pictures.js";
import { markSample, samplesFor, showSamples } from "./samples.js";
import { fromFragment, toFragment } from "./share.js";
import { Sheet } from "./sheet.js";
import { Sliders } from "./sliders.js";
import { listenForFiles, offerCamera } from "./sources.js";
import { Store } from "./store.js";
import { confirm, copy, offerThemes, showTexts } from "./tools.js";
import { showVerdict } from "./verdict.js";

const NOTHING = { picture: null, seen: null, chosen: null, pose: null, drawn: new Map(), moved: null };
const FIRST_SAMPLE = 7;
const SHEET_REST = 350; // ms that a picture must rest before its sheet is drawn

const store = new Store({ models: [], card: null, samples: [], ...NOTHING });
const { values } = store;

const loading = new Latest(reporter("models"));
const looking = new Latest(reporter("picture", { refused: () => store.set({ ...NOTHING, picture: values.picture }) }));
const moving = new Latest(reporter("pose"));
const sheeting = new Latest(reporter("sheet", { refused: () => sheet.empty("There is no sheet for this picture.") }));

const board = new Board(byId("board"));
const table = new CapsuleTable(choose);
const sliders = new Sliders((dim, value) => move(poseNow().with(dim, value)));
const sheet = new Sheet(
  (dim, delta) => move(given().with(dim, given()[dim] + delta)),
  (frame) => paintMoved(frame ?? values.moved),
);

// ------------------------------------------------------------------------------------------------ what a person gives

function takeBoard({ whole, then = {} }) {
  if (!values.card) return;
  const ask = async (signal) => {
    const origin = { strokes: board.strokes.slice() };
    await lookAt({ blob: await board.blob(), origin }, signal, then);
  };
  if (whole) looking.now(ask);
  else looking.soon(ask);
  describeBoard("");
}

function takeStrokes(strokes, then) {
  board.show({ strokes });
  takeBoard({ whole: true, then });
}

function takeSample(number, then = {}) {
  const { bitmap, blob } = values.samples[number];
  board.show({ picture: bitmap });
  describeBoard("");
  looking.now((signal) => lookAt({ blob, origin: { sample: number } }, signal, then));
}

async function takeFile(blob, { asSeen = false, then = {} } = {}) {
  if (!values.card) return;
  const bitmap = await createImageBitmap(blob).catch(() => null);
  board.show({ picture: bitmap });
  describeBoard(bitmap ? "" : `${blob.name ?? "This file"} cannot be shown here.`);
  looking.now((signal) => lookAt({ blob, asSeen, origin: { file: true } }, signal, then));
}

function describeBoard(note) {
  dismiss();
  byId("board-note").hidden = !note;
  say(byId("board-note"), note);
}

function clearBoard() {
  looking.cancel();
  board.show({});
  describeBoard("");
  store.set(NOTHING);
}

function undo() {
  board.undo();
  if (board.isEmpty) clearBoard();
  else takeBoard({ whole: true });
}

// --------------------------------------------------------------------------------------------- what is asked and shown

async function lookAt(picture, signal, { chosen = null, pose = null } = {}) {
  const { card } = values;
  store.set({ picture });
  const { seen, drawn } = await look(card, picture, signal);
  signal.throwIfAborted();
  moving.cancel();
  const first = seen.found[0];
  store.set({ picture, seen, drawn, chosen: first, pose: null, moved: drawn.get(first) });
  if (chosen !== null && chosen < card.classes.length) choose(chosen);
  if (pose?.length === card.config.pose_dim) move(pose);
}

const given = () => values.seen.poses[values.chosen];
const poseNow = () => values.pose ?? given();

/** Turn to the capsule of another class. */
function choose(index) {
  const { card, seen, drawn } = values;
  if (!seen) return;
  store.set({ chosen: index, pose: null, moved: drawn.get(index) ?? values.moved });
  if (drawn.has(index)) return moving.cancel();
  return moving.now(async (signal) => {
    const [bitmap] = await drawPoses(card, [index], [seen.poses[index]], signal);
    store.set({ drawn: new Map(drawn).set(index, bitmap), moved: bitmap });
  });
}

/** Move the chosen capsule's pose; null puts it back. */
function move(pose) {
  const { card, seen, chosen } = values;
  if (!seen) return;
  store.set({ pose });
  moving.soon(async (signal) => {
    const [moved] = await drawPoses(card, [chosen], [poseNow()], signal);
    store.set({ moved });
  });
}

function paintMoved(bitmap) {
  const { card, seen, chosen } = values;
  for (const canvas of [byId("moved"), byId("mirror")]) {
    const rank = seen?.found.indexOf(chosen) ?? -1;
    if (bitmap) paint(canvas, bitmap, card.objects > 1 && rank >= 0 ? colourOf(rank) : null);
    else blank(canvas);
  }
}

store.on(["card"], ({ card }) => describeModel(card)); // first, because the others fill what it builds
store.on(["samples"], ({ samples }) => showSamples(samples, (number) => takeSample(number)));
store.on(["seen", "chosen", "drawn"], showVerdict);
store.on(["seen", "chosen"], (now) => table.show(now));
store.on(["seen", "chosen", "pose"], (now) => sliders.show(now));
store.on(["seen", "moved"], ({ moved }) => paintMoved(moved));
store.on(["seen", "picture"], ({ seen, picture }) => {
  byId("share").disabled = byId("curl").disabled = byId("chosen").disabled = !seen;
  byId("undo").disabled = board.strokes.length === 0;
  markSample(picture?.origin.sample ?? null);
});
store.on(["seen", "chosen", "pose"], ({ card, chosen, pose }) => {
  byId("reset").disabled = !pose;
  byId("chosen").value = chosen ?? "";
  const whose = chosen === null ? "" : `, capsule of ${card.classes[chosen]}`;
  for (const id of ["moved-words", "mirror-words"]) {
    say(byId(id), `${pose ? "as you moved it" : "as the network gave it"}${whose}`);
  }
});

// ------------------------------------------------------------------------------------------------------------ the sheet

let sheetInView = false;
let sheetDue = 0;

function refreshSheet() {
  clearTimeout(sheetDue);
  const { card, picture, seen, chosen } = values;
  if (!seen) {
    sheeting.cancel();
    sheet.empty("The sheet needs a picture.");
  } else if (sheetInView) {
    const job = async (signal) => sheet.fill(card, chosen, await sheetOf(card, picture, chosen, signal));
    sheetDue = setTimeout(() => sheeting.now(job), SHEET_REST);
  }
}

store.on(["seen", "chosen"], refreshSheet);
new IntersectionObserver(([{ isIntersecting }]) => {
  const entered = isIntersecting && !sheetInView;
  sheetInView = isIntersecting;
  if (entered) refreshSheet();
}, { rootMargin: "300px" }).observe(byId("sheet-body"));

// --------------------------------------------------------------------------------------------------------- the models

function loadModels() {
  loading.now(async (signal) => {
    const answer = await listModels(signal);
    const state = fromFragment(location.hash);
    store.set({ models: answer.models });
    byId("model").replaceChildren(...answer.models.map(({ name }) => make("option", { value: name, textContent: name })));
    byId("model").disabled = false;
    const wanted = answer.models.some(({ name }) => name === state.model) ? state.model : answer.default;
    await useModel(wanted, state);
  });
}

/** Turn to a model, and to the picture that a link says, or else to the one that was there. */
async function useModel(name, state = {}) {
  const card = values.models.find((each) => each.name === name);
  byId("model").value = name;
  for (const latest of [looking, moving, sheeting]) latest.cancel();
  const before = values.picture;
  const samples = await samplesFor(card).catch(() => []); // the page is of use without them
  store.set({ ...NOTHING, card, samples });
  begin(state, before);
}

/** The picture to begin with: a link's, else what was there, else a sample. */
function begin({ strokes = null, sample = null, seen = null, chosen = null, pose = null }, before) {
  const then = { chosen, pose };
  const drawn = strokes ?? before?.origin.strokes;
  const number = sample ?? Math.min(FIRST_SAMPLE, values.samples.length - 1);
  if (seen) return takeFile(seen, { asSeen: true, then });
  if (values.samples[sample]) return takeSample(sample, then);
  if (drawn) return takeStrokes(drawn, then);
  if (before?.origin.file) return takeFile(before.blob, { asSeen: before.asSeen });
  return values.samples[number] ? takeSample(number, then) : clearBoard();
}

function describeModel(card) {
  const { classes, config, input, objects } = card;
  board.shape(input.height / input.width);
  table.shape(card);
  sliders.shape(card);
  byId("chosen").replaceChildren(...classes.map((label, index) => make("option", { value: index, textContent: label })));
  for (const place of document.querySelectorAll("[data-card=dims]")) say(place, String(config.pose_dim));
  for (const place of document.querySelectorAll("[data-card=class]")) say(place, classes[FIRST_SAMPLE] ?? classes[0]);
  const digits = input.preprocess === "mnist";
  say(byId("give-words"), digits ? (objects > 1 ? "Draw two digits" : "Draw a digit") : "Give it a picture");
  say(byId("capsules-words"), `${classes.length} capsules of ${config.pose_dim} numbers`);
}

// --------------------------------------------------------------------------------------------------------------- wiring

async function share() {
  const fragment = toFragment(values);
  if (!fragment) return mention("This picture is too large for a link.");
  history.replaceState(null, "", fragment);
  if (await copy(location.href)) return confirm(byId("share"), "Copied");
  return showTexts("A link to this", "It holds the picture and the pose.", [{ title: "Link", text: location.href }]);
}

offerThemes();
board.shape(1);
byId("board").addEventListener("draw", () => takeBoard({ whole: false }));
byId("board").addEventListener("drawn", () => takeBoard({ whole: true }));
byId("clear").addEventListener("click", clearBoard);
byId("undo").addEventListener("click", undo);
byId("reset").addEventListener("click", () => move(null));
byId("chosen").addEventListener("change", ({ target }) => choose(Number(target.value)));
byId("model").addEventListener("change", ({ target }) => useModel(target.value));
byId("share").addEventListener("click", share);
byId("curl").addEventListener("click", () =>
  showTexts("The same with curl", "The picture stands in the commands as the network saw it.", commandsFor(values)),
);
listenForFiles((file) => takeFile(file));
offerCamera((blob) => takeFile(blob));
whenKeyIsGiven(loadModels);
window.addEventListener("hashchange", loadModels);
loadModels();

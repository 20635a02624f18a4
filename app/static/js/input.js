/** What a person gives: strokes on the board, samples, files. Each becomes an image to ask about. */

import { Board } from "./board.js";
import { byId, say } from "./dom.js";
import { dismiss, mention } from "./status-banner.js";
import { NOTHING, SOON_MS, askAbout, looking, store, values } from "./session.js";
import { isLarge, shown, shrink } from "./shrink.js";
import { beginWith } from "./strokes.js";
import { Timeline } from "./timeline.js";
import { text } from "./texts.js";

const FIRST_SAMPLE = 7;

const board = new Board(byId("board"));
const timeline = new Timeline({ strokes: [] }); // of images, {strokes} or {blob, bitmap, asSeen, origin}
let gifts = 0; // of a person: a file that takes long to read must not replace what was given after it
let starts = 0; // nor one of a link what a later link names

/** The same, as something that a person does; what the page takes by itself never outranks that. */
const byHand = (take) => (...what) => {
  gifts++;
  return take(...what);
};

export const giveSample = byHand(takeSample);
export const giveFile = byHand(takeFile);

/** Go to a new state, which can be taken back; not what the page begins with. */
function record(state) {
  if (gifts) timeline.add(state);
  else timeline.replace(state);
  offerSteps();
}

function offerSteps() {
  byId("undo").disabled = !timeline.canUndo;
  byId("redo").disabled = !timeline.canRedo;
}

/** Ask about the strokes on the board. */
function takeBoard({ whole, then = {} }) {
  if (!values.card) return;
  const ask = async (signal) => {
    const origin = { strokes: board.strokes.slice() };
    await askAbout({ blob: await board.blob(), origin }, signal, then);
  };
  if (whole) looking.now(ask);
  else looking.soon(ask);
  describeBoard("");
}

/** Take strokes of a link as if they were drawn one after the other, so that each can be taken back. */
function takeStrokes(strokes, then) {
  board.show({ strokes });
  if (!isSame(timeline.now.strokes, strokes)) {
    for (let count = 1; count <= strokes.length; count++) timeline.add({ strokes: strokes.slice(0, count) });
    offerSteps();
  }
  takeBoard({ whole: true, then });
}

const isSame = (some, others) => some?.length === others.length && beginWith(some, others);

export const takesStrokes = () => board.takesStrokes;

/** Draw for the person, where the model takes strokes. */
export const giveStrokes = byHand((strokes) => board.takesStrokes && takeStrokes(strokes, {}));

function takeSample(number, then = {}) {
  const { bitmap, blob } = values.samples[number];
  takeImage({ blob, bitmap, asSeen: true, origin: { sample: number } }, then); // also one that is no digit
}

/** Lay an image on the board and ask about it. */
function takeImage(image, then = {}) {
  if (timeline.now.blob !== image.blob) record(image);
  board.show({ image: image.bitmap });
  describeBoard("");
  if (!values.card) return store.set({ image }); // asked about when there is a model
  return looking.now((signal) => askAbout(image, signal, then));
}

async function takeFile(blob, { asSeen = false, then = {}, isWanted = () => true } = {}) {
  const newest = gifts;
  const isNewest = () => newest === gifts && isWanted();
  const readable = await isReadable(blob);
  const opening = setTimeout(() => isNewest() && clearAnswer("progress.looking"), SOON_MS);
  const bitmap = readable && (await createImageBitmap(blob).catch(() => null));
  clearTimeout(opening);
  if (!isNewest()) return undefined;
  if (!readable) return mention(text("board.unreadable", { name: nameOf(blob) }));
  const sent = bitmap && !asSeen && isLarge(bitmap) ? await shrunk(blob, bitmap) : blob;
  if (!isNewest()) return undefined;
  const laid = bitmap && !asSeen ? shown(bitmap) : bitmap;
  const asked = takeImage({ blob: sent, bitmap: laid, asSeen, origin: { file: true } }, then);
  if (!bitmap) describeBoard(text("board.unseen", { name: nameOf(blob) }));
  return asked;
}

/** A photograph at the size in which it is sent. */
function shrunk(blob, bitmap) {
  clearAnswer("progress.shrinking");
  return shrink(blob, bitmap);
}

/** Show no old answer while an image is made ready, which takes a moment. */
const clearAnswer = (what) => store.set({ ...NOTHING, image: values.image, asking: { what } });

const nameOf = (blob) => blob.name ?? text("board.nameless");

/** Whether there are bytes to be had: not of a folder, an empty file or one that is gone, which is no fault of the server. */
async function isReadable(blob) {
  const reader = blob.stream().getReader();
  const readable = await reader.read().then(({ done }) => !done, () => false);
  reader.cancel().catch(() => {}); // the rest is read when it is sent
  return readable;
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

/** Show a state of the timeline, or an image of the history, again. */
function restore(state) {
  offerSteps();
  if (state.blob) return takeImage({ ...state, origin: originOf(state) });
  if (state.strokes.length === 0) return clearBoard();
  board.show({ strokes: state.strokes.slice() });
  return takeBoard({ whole: true });
}

/** A sample is one as long as its model is there. */
const originOf = ({ blob, origin }) =>
  origin.sample === undefined || values.samples[origin.sample]?.blob === blob ? origin : { file: true };

/** Have an image of before again, as something that a person gives. */
export const takeBack = byHand((image) => {
  const { strokes } = image.origin;
  if (!strokes) return restore(image);
  if (!isSame(timeline.now.strokes, strokes)) record({ strokes });
  return restore({ strokes });
});

/** A step back, or one forth again. */
const undo = byHand(() => step(timeline.undo()));
const redo = byHand(() => step(timeline.redo()));

const step = (state) => state && restore(state);

/** The keys that every program has for this, unless a hand is drawing, a dialog is open or a text is written. */
function listenForKeys(event) {
  const { key, ctrlKey, metaKey, shiftKey, altKey, target } = event;
  if (!(ctrlKey || metaKey) || altKey || board.isDrawing) return;
  if (document.querySelector("dialog[open]") || target.matches?.("[type=password], [type=text], textarea")) return;
  const letter = key.toLowerCase();
  const act = letter === "z" ? (shiftKey ? redo : undo) : letter === "y" && !shiftKey ? redo : null;
  if (!act) return;
  event.preventDefault();
  act();
}

/** The image to begin with: a link's, else the drawing on the board, else the one before, else a sample. */
export function begin({ image = null, strokes = null, sample = null, seen = null, chosen = null, pose = null }, before) {
  const then = { chosen, pose };
  const drawn = board.takesStrokes ? (strokes ?? (board.strokes.length ? board.strokes : null)) : null;
  const start = ++starts;
  const isWanted = () => start === starts;
  const number = sample ?? Math.min(FIRST_SAMPLE, values.samples.length - 1);
  if (image) return takeBack(image);
  if (seen) return takeFile(seen, { asSeen: true, then, isWanted });
  if (values.samples[sample]) return takeSample(sample, then);
  if (drawn) return takeStrokes(drawn, then);
  if (before?.origin.file) return takeImage(before, then);
  return values.samples[number] ? takeSample(number, then) : clearBoard();
}

/** Give the board the proportions of what a network takes. */
export const shapeBoard = ({ height, width }) => board.shape(height / width);

/** Let the board take strokes, or images alone. */
export function allowPen(allowed) {
  if (allowed !== board.takesStrokes) timeline.restart({ strokes: [] });
  board.allowPen(allowed);
  byId("pen-label").hidden = !allowed;
  byId("board").setAttribute("aria-label", text(allowed ? "board.label" : "board.label.penless"));
  say(byId("board-hint"), text(allowed ? "board.hint" : "board.hint.penless"));
}

export function listenToBoard() {
  byId("board").addEventListener("draw", byHand(() => takeBoard({ whole: false })));
  byId("board").addEventListener("drawn", byHand(() => {
    if (!isSame(timeline.now.strokes, board.strokes)) record({ strokes: board.strokes.slice() });
    takeBoard({ whole: true });
  }));
  byId("clear").addEventListener("click", byHand(() => {
    if (!isSame(timeline.now.strokes, [])) record({ strokes: [] });
    clearBoard();
  }));
  byId("undo").addEventListener("click", undo);
  byId("redo").addEventListener("click", redo);
  document.addEventListener("keydown", listenForKeys);
}

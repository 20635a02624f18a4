/** What a person gives: strokes on the board, samples, files. Each becomes a picture to ask about. */

import { Board } from "./board.js";
import { byId, say } from "./dom.js";
import { dismiss, mention } from "./notice.js";
import { NOTHING, lookAt, looking, store, values } from "./session.js";
import { text } from "./texts.js";

const FIRST_SAMPLE = 7;

const board = new Board(byId("board"));
let gifts = 0; // of a person: a file that takes long to read must not replace what was given after it
let starts = 0; // nor one of a link what a later link names

/** The same, as something that a person does; what the page takes by itself never outranks that. */
const byHand = (take) => (...what) => {
  gifts++;
  return take(...what);
};

export const giveSample = byHand(takeSample);
export const giveFile = byHand(takeFile);

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

async function takeFile(blob, { asSeen = false, then = {}, isWanted = () => true } = {}) {
  const newest = gifts;
  const readable = await isReadable(blob);
  const bitmap = readable && (await createImageBitmap(blob).catch(() => null));
  if (newest !== gifts || !isWanted()) return undefined;
  if (!readable) return mention(text("board.unreadable", { name: nameOf(blob) }));
  board.show({ picture: bitmap });
  describeBoard(bitmap ? "" : text("board.unseen", { name: nameOf(blob) }));
  const picture = { blob, asSeen, origin: { file: true } };
  if (!values.card) return store.set({ picture }); // asked about when there is a model
  return looking.now((signal) => lookAt(picture, signal, then));
}

const nameOf = (blob) => blob.name ?? text("board.nameless");

/** Whether there are bytes to be had: not of a folder, nor of a file that is gone, which is no fault of the server. */
async function isReadable(blob) {
  const reader = blob.stream().getReader();
  const readable = await reader.read().then(() => true, () => false);
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

function undo() {
  board.undo();
  if (board.isEmpty) clearBoard();
  else takeBoard({ whole: true });
}

/** The picture to begin with: a link's, else the drawing on the board, else the one before, else a sample. */
export function begin({ strokes = null, sample = null, seen = null, chosen = null, pose = null }, before) {
  const then = { chosen, pose };
  const drawn = board.takesStrokes ? (strokes ?? (board.strokes.length ? board.strokes : null)) : null;
  const start = ++starts;
  const isWanted = () => start === starts;
  const number = sample ?? Math.min(FIRST_SAMPLE, values.samples.length - 1);
  if (seen) return takeFile(seen, { asSeen: true, then, isWanted });
  if (values.samples[sample]) return takeSample(sample, then);
  if (drawn) return takeStrokes(drawn, then);
  if (before?.origin.file) return takeFile(before.blob, { asSeen: before.asSeen, isWanted });
  return values.samples[number] ? takeSample(number, then) : clearBoard();
}

/** Give the board the proportions of what a network takes. */
export const shapeBoard = ({ height, width }) => board.shape(height / width);

/** Let the board take strokes, or pictures alone. */
export function allowPen(allowed) {
  board.allowPen(allowed);
  byId("undo").hidden = byId("pen-label").hidden = !allowed;
  byId("board").setAttribute("aria-label", text(allowed ? "board.label" : "board.label.penless"));
  say(byId("board-hint"), text(allowed ? "board.hint" : "board.hint.penless"));
}

export function listenToBoard() {
  byId("board").addEventListener("draw", byHand(() => takeBoard({ whole: false })));
  byId("board").addEventListener("drawn", byHand(() => takeBoard({ whole: true })));
  byId("clear").addEventListener("click", byHand(clearBoard));
  byId("undo").addEventListener("click", byHand(undo));
  store.on(["picture"], () => (byId("undo").disabled = board.strokes.length === 0));
}

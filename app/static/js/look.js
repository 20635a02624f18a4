/** The questions that the page asks: about a picture, about one of its capsules, about a pose. */

import * as api from "./api.js";
import { bitmapOf } from "./pictures.js";

/** The parameters with which a picture is sent; one that is already what the network saw is taken as it is. */
export const queryOf = (card, picture) => ({ model: card.name, ...(picture.asSeen && { preprocess: "none" }) });

/** What the network makes of a picture, and what the capsules that it found draw. */
export async function look(card, picture, signal) {
  const query = queryOf(card, picture);
  const [answer, redrawn] = await Promise.all([
    api.classify(picture.blob, query, signal),
    api.reconstruct(picture.blob, query, signal),
  ]);
  const found = answer.predictions.map(({ index }) => index);
  const seen = {
    found,
    lengths: answer.lengths,
    poses: answer.poses,
    check: answer.reconstruction ?? null,
    objects: answer.objects_found ?? 1,
    file: redrawn.input,
    input: await bitmapOf(redrawn.input),
  };
  const bitmaps = await drawPoses(card, found, found.map((index) => seen.poses[index]), signal);
  return { seen, drawn: new Map(found.map((index, at) => [index, bitmaps[at]])) };
}

/** Bitmaps of poses [N][D], each drawn by the capsule of its class. */
export async function drawPoses(card, indices, poses, signal) {
  const images = await api.decode(card.name, indices, poses, signal);
  const bitmaps = await Promise.all(images.map(bitmapOf));
  signal.throwIfAborted();
  return bitmaps;
}

/** The perturbation sheet of one capsule: deltas [S], and bitmaps [D][S]. */
export async function sheetOf(card, picture, index, signal) {
  const query = { ...queryOf(card, picture), label: card.classes[index] };
  const { deltas, dims, frames } = await api.sweep(picture.blob, query, signal);
  const bitmaps = await Promise.all(frames.map((row) => Promise.all(row.map(bitmapOf))));
  signal.throwIfAborted();
  return { deltas, dims, bitmaps };
}

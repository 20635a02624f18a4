/** The questions that the page asks: about an image, about one of its capsules, about a pose. */

import * as api from "./api.js";
import { bitmapOf, blobOf } from "./images.js";

/** The parameters with which an image is sent; one that is already what the network saw is taken as it is. */
export const queryOf = (card, { asSeen, bitmap }) => ({
  model: card.name,
  ...(asSeen && fits(card.input, bitmap) && { preprocess: "none" }),
});

/** Whether an image has the size of a network's input; what another model saw may have another. */
const fits = ({ width, height }, bitmap) => !bitmap || (bitmap.width === width && bitmap.height === height);

/** What the network makes of an image, and what the capsules that it found draw; `progress(share sent)` may be heard. */
export async function queryImage(card, image, signal, progress) {
  const query = { ...queryOf(card, image), reconstruct: true };
  const answer = await api.classify(image.blob, query, signal, progress);
  const found = answer.predictions.map(({ index }) => index);
  const seen = {
    image,
    found,
    lengths: answer.lengths,
    poses: answer.poses,
    check: answer.reconstruction ?? null,
    objects: answer.objects_found ?? 1,
    file: answer.input,
    input: await bitmapOf(answer.input),
  };
  const bitmaps = await Promise.all(answer.drawings.map(bitmapOf));
  return { seen, drawn: new Map(found.map((index, at) => [index, bitmaps[at]])) };
}

/** Bitmaps of poses [N][D], each drawn by the capsule of its class. */
export async function drawPoses(card, indices, poses, signal) {
  const images = await api.decode(card.name, indices, poses, signal);
  const bitmaps = await Promise.all(images.map(bitmapOf));
  signal.throwIfAborted();
  return bitmaps;
}

const LARGE_BYTES = 32_000; // bytes that are not worth sending again where the network's input says the same

/** What to send in further questions about the image of an answer: a large one as the network saw it, which is a thousandth of it. */
export const asAskedAgain = ({ image, file }) =>
  image.blob.size > LARGE_BYTES ? { blob: blobOf(file), asSeen: true } : image;

/** The perturbation sheet of one capsule: deltas [S], and bitmaps [D][S]. */
export async function sheetOf(card, seen, index, signal) {
  const asked = asAskedAgain(seen);
  const query = { ...queryOf(card, asked), label: card.classes[index] };
  const { deltas, dims, frames } = await api.sweep(asked.blob, query, signal);
  const bitmaps = await Promise.all(frames.map((row) => Promise.all(row.map(bitmapOf))));
  signal.throwIfAborted();
  return { deltas, dims, bitmaps };
}

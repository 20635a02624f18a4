/**
 * A state of the page as the fragment of its address: it is never sent to the server.
 *
 *     #model=mnist&strokes=…         strokes, or sample=3, or seen=… (the image as the network saw it)
 *     &capsule=7&pose=…              a chosen capsule, and its pose where it was moved
 */

import { blobOf } from "./images.js";
import * as strokes from "./strokes.js";

const POSE_SCALE = 8192; // numbers of a pose from −4 to 4 in two bytes
export const LONGEST_LINK = 16000; // characters of a link that most programs keep whole

/** The fragment for a state; of an answer to another image it holds nothing. */
export function toFragment({ card, image, seen, chosen, pose }) {
  const parts = new URLSearchParams({ model: card.name });
  const origin = image?.origin ?? {};
  const isAnswered = seen !== null && seen.image === image;
  if (origin.strokes) parts.set("strokes", wordsToText(strokes.toWords(origin.strokes)));
  else if (origin.sample !== undefined) parts.set("sample", origin.sample);
  else if (isAnswered) parts.set("seen", seen.file.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", ""));
  if (isAnswered && (pose || chosen !== seen.found[0])) parts.set("capsule", chosen);
  if (isAnswered && pose) parts.set("pose", poseToText(pose));
  return `#${parts}`;
}

/** The parts of a fragment that make sense: {model, strokes, sample, seen (a Blob), chosen, pose}. */
export function fromFragment(fragment) {
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  const read = (name, convert) => {
    try {
      return parts.has(name) ? convert(parts.get(name)) : null;
    } catch {
      return null; // cut off or mistyped: the rest may still be of use
    }
  };
  return {
    model: parts.get("model"),
    strokes: read("strokes", (text) => strokes.fromWords(wordsFromText(text))),
    sample: read("sample", whole),
    seen: read("seen", (text) => blobOf(padded(text))),
    chosen: read("capsule", whole),
    pose: read("pose", poseFromText),
  };
}

function whole(text) {
  return /^\d{1,5}$/.test(text) ? Number(text) : null;
}

function poseToText(pose) {
  const numbers = Int16Array.from(pose, (value) => Math.round(Math.max(-3.99, Math.min(3.99, value)) * POSE_SCALE));
  return wordsToText(numbers);
}

function poseFromText(text) {
  return Array.from(wordsFromText(text), (value) => value / POSE_SCALE);
}

const wordsToText = (words) => toText(new Uint8Array(words.buffer));

/** The 16-bit numbers in such a text; half a one at its end is left out. */
function wordsFromText(text) {
  const { buffer } = toBytes(text);
  return new Int16Array(buffer, 0, buffer.byteLength >> 1);
}

/** Bytes as the base64 that may stand in an address. */
function toText(bytes) {
  const characters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(characters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const toBytes = (text) => Uint8Array.from(atob(padded(text)), (character) => character.charCodeAt(0));

function padded(text) {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/");
  return plain.padEnd(4 * Math.ceil(plain.length / 4), "=");
}

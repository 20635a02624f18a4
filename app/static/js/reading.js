/** Several digits in one image: a box around each, and the string that they are. */

import { read } from "./api.js";
import { byId, say } from "./dom.js";
import { UNDERLAY } from "./images.js";
import { LatestRequest } from "./latest-request.js";
import { reporter } from "./status-banner.js";
import { text as words } from "./texts.js";

const LONGEST_PIXELS = 960; // pixels of the image's longer edge on the page

const reading = new LatestRequest(reporter("reading"));

/** Read the image where the service says that it shows several objects; hide what was read before. */
export function showReading({ card, image, seen }) {
  byId("reading").hidden = true;
  reading.cancel();
  if (!image || !seen || seen.objects < 2 || card.objects > 1) return;
  reading.now(async (signal) => {
    const answer = await read(image.blob, { model: card.name }, signal);
    const bitmap = await createImageBitmap(image.blob).catch(() => null); // of a kind that the browser cannot show
    signal.throwIfAborted();
    if (answer.digits.length > 1) show(answer, bitmap);
  });
}

function show({ text, digits, objects_found: objects }, bitmap) {
  byId("reading-page").hidden = !bitmap;
  if (bitmap) frame(digits, bitmap);
  say(byId("reading-text"), text.replaceAll("\n", " / "));
  const unknown = digits.filter(({ label }) => label === null).length;
  const unsure = digits.filter(({ certain }) => !certain).length;
  const left = objects - digits.length; // beyond the service's limit
  const count = left > 0 ? words("reading.first", { count: digits.length, objects }) : objects;
  say(byId("reading-words"), words("reading.words", { count, unknown, unsure }));
  byId("reading").hidden = false;
}

/** Show the image with a frame around each digit. */
function frame(digits, bitmap) {
  const canvas = byId("reading-page");
  const scale = Math.min(1, LONGEST_PIXELS / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  const pen = canvas.getContext("2d");
  pen.fillStyle = UNDERLAY;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  pen.lineWidth = 2;
  for (const { box, label, certain } of digits) {
    const [left, top, right, bottom] = box.map((edge) => edge * scale);
    pen.strokeStyle = label === null ? "#c81e1e" : certain ? "#00823c" : "#dc8200";
    pen.strokeRect(left, top, right - left, bottom - top);
  }
}

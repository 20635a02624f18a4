/** Photographs made small before they go up: no network here takes more than a few hundred pixels of one. */

const LONGEST_PIXELS = 1600; // pixels of the longer side
const QUALITY = 0.9; // of JPEG

export const isLarge = ({ width, height }) => Math.max(width, height) > LONGEST_PIXELS;

/**
 * A smaller image that shows the same.
 *
 * `bitmap` is the image as the browser reads it, turned as its EXIF says; so the smaller one stands upright.
 */
export async function shrink(blob, bitmap) {
  const scale = LONGEST_PIXELS / Math.max(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  // Drawings with a transparent ground are read by their alpha, which JPEG has not.
  const type = blob.type !== "image/jpeg" && isTransparent(context, canvas) ? "image/png" : "image/jpeg";
  const small = await canvas.convertToBlob({ type, quality: QUALITY });
  return new File([small], blob.name ?? "photo", { type });
}

function isTransparent(context, { width, height }) {
  const { data } = context.getImageData(0, 0, width, height);
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return true;
  return false;
}

/** Photographs made small before they go up: no network here takes more than a few hundred pixels of one. */

const LONGEST_PIXELS = 1600; // pixels of the longer side
const SHOWN_PIXELS = 784; // the same of what lies on the board, twice the board's
const QUALITY = 0.9; // of JPEG

export const isLarge = ({ width, height }) => Math.max(width, height) > LONGEST_PIXELS;

/**
 * A smaller image that shows the same.
 *
 * `bitmap` is the image as the browser reads it, turned as its EXIF says; so the smaller one stands upright.
 */
export async function shrink(blob, bitmap) {
  const scale = LONGEST_PIXELS / Math.max(bitmap.width, bitmap.height);
  const canvas = scaled(bitmap, scale);
  // Drawings with a transparent ground are read by their alpha, which JPEG has not.
  const type = blob.type !== "image/jpeg" && isTransparent(canvas) ? "image/png" : "image/jpeg";
  const small = await canvas.convertToBlob({ type, quality: QUALITY });
  return new File([small], blob.name ?? "photo", { type });
}

/** A bitmap as large as the board shows it; a larger one is closed: a hundred that wait to be undone fill a telephone. */
export function shown(bitmap) {
  const scale = SHOWN_PIXELS / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return bitmap;
  const canvas = scaled(bitmap, scale);
  bitmap.close();
  return canvas.transferToImageBitmap();
}

/** A canvas with a bitmap on it, made smaller; of a thin line a pixel stays. */
function scaled(bitmap, scale) {
  const [width, height] = [bitmap.width, bitmap.height].map((edge) => Math.max(1, Math.round(edge * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas;
}

function isTransparent(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 3; at < data.length; at += 4) if (data[at] < 255) return true;
  return false;
}

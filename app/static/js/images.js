/** Images from the service (base64 PNGs at the network's size) on canvases. */

/** Colours of several objects in one image: magenta and green add up to white, and most eyes can tell them apart. */
export const COLOURS = ["#ff63d8", "#3ddc6c", "#5aa9ff", "#ffc247"];

/** Lies under images without a ground, whose ink may be dark or light. */
export const UNDERLAY = "#808080";

/** The bytes of a base64 text as a PNG. */
export function blobOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: "image/png" });
}

export const bitmapOf = (base64) => createImageBitmap(blobOf(base64));

/** Put a bitmap on a canvas, pixel for pixel; grey becomes shades of `colour` where there is one. */
export function paint(canvas, bitmap, colour = null) {
  fit(canvas, bitmap);
  canvas.getContext("2d").drawImage(colour ? coloured(bitmap, colour) : bitmap, 0, 0);
}

/** Put several bitmaps on one canvas, each in its colour, their light added up. */
export function overlay(canvas, bitmaps) {
  fit(canvas, bitmaps[0]);
  const context = canvas.getContext("2d");
  context.globalCompositeOperation = "lighter";
  bitmaps.forEach((bitmap, index) => context.drawImage(coloured(bitmap, colourOf(index)), 0, 0));
}

export const colourOf = (index) => COLOURS[index % COLOURS.length];

/** Leave a canvas black. */
export function blank(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

const FAINTEST = 24; // of 255: smaller differences are the noise of a camera

/** Whether a bitmap is of one colour: there is nothing to see in it. */
export function isBlank(bitmap) {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return [0, 1, 2].every((channel) => {
    let [least, most] = [255, 0];
    for (let at = channel; at < data.length; at += 4) {
      least = Math.min(least, data[at]);
      most = Math.max(most, data[at]);
    }
    return most - least < FAINTEST;
  });
}

function fit(canvas, { width, height }) {
  canvas.width = width; // which also clears it
  canvas.height = height;
}

function coloured(bitmap, colour) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  context.globalCompositeOperation = "multiply";
  context.fillStyle = colour;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

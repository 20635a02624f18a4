/** Files from the disk, dropped on the page, or pasted; and images from the camera. */

import { byId } from "./dom.js";
import { mention } from "./status-banner.js";
import { text } from "./texts.js";

/** `take(file)` is called for every file that a person gives, whatever is in it: the service says if it is no image. */
export function listenForFiles(take) {
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // so that the same file can be given again
  });
  document.addEventListener("dragover", (event) => mark(event, true));
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && mark(event, false));
  document.addEventListener("drop", (event) => {
    mark(event, false);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) take(file);
  });
}

function mark(event, over) {
  event.preventDefault();
  byId("drop").classList.toggle("over", over);
}

/** Offer the camera where there is one; `take(blob)` is called with the square in the middle of its image. */
export function offerCamera(take) {
  if (!navigator.mediaDevices?.getUserMedia) return; // there is none, or the page came by plain http
  const [dialog, finder] = [byId("camera-dialog"), byId("finder")];
  byId("camera").hidden = false;
  byId("camera").addEventListener("click", () => open(dialog, finder));
  byId("camera-close").addEventListener("click", () => dialog.close());
  byId("snap").addEventListener("click", async () => {
    byId("snap").disabled = true; // a second press would take a second image
    const image = await snap(finder);
    dialog.close();
    take(image);
  });
  dialog.addEventListener("close", () => {
    for (const track of finder.srcObject?.getTracks() ?? []) track.stop();
    finder.srcObject = null;
  });
}

let opening = false; // two taps open one camera

async function open(dialog, finder) {
  if (opening || dialog.open) return;
  opening = true;
  try {
    const video = { facingMode: "environment", width: { ideal: 1280 } };
    finder.srcObject = await navigator.mediaDevices.getUserMedia({ video });
    byId("snap").disabled = true;
    dialog.showModal();
    await finder.play().catch((error) => {
      if (dialog.open) throw error; // else it was closed before the first image
    });
    byId("snap").disabled = false;
    byId("snap").focus();
  } catch (error) {
    dialog.close();
    mention(text("camera.refused", { reason: error.message }));
  } finally {
    opening = false;
  }
}

function snap(finder) {
  const edge = Math.min(finder.videoWidth, finder.videoHeight);
  const canvas = new OffscreenCanvas(edge, edge);
  const [left, top] = [(finder.videoWidth - edge) / 2, (finder.videoHeight - edge) / 2];
  canvas.getContext("2d").drawImage(finder, -left, -top);
  return canvas.convertToBlob({ type: "image/png" });
}

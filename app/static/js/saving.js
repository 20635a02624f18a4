/** The dialog that keeps drawing and sheet as files. */

import { byId, make, say } from "./dom.js";
import { drawingPng, drawingSvg, save, sheetGif, sheetPng, sheetSvg } from "./downloads.js";
import { LatestRequest } from "./latest-request.js";
import { sheetOf } from "./queries.js";
import { reporter } from "./status-banner.js";
import { store, values } from "./session.js";
import { text } from "./texts.js";

const LABELS = { drawing: "save.drawing.as", sheet: "save.sheet.as" };
const DRAWING = { png: drawingPng, svg: drawingSvg };
const SHEET = { png: sheetPng, svg: sheetSvg, gif: sheetGif };

const asking = new LatestRequest(reporter("save"));

export function offerSaving() {
  byId("save").addEventListener("click", () => {
    const { card, chosen } = values;
    say(byId("save-hint"), text("save.hint", { name: card.classes[chosen] }));
    byId("save-dialog").showModal();
  });
  byId("save-drawing").replaceChildren(...buttons(DRAWING, "drawing", async (write) => write(values.moved)));
  byId("save-sheet").replaceChildren(...buttons(SHEET, "sheet", saveSheet));
  const ready = ({ moved }) => {
    for (const button of byId("save-drawing").children) button.disabled = !moved; // until the capsule has drawn
  };
  store.on(["moved"], ready);
  ready(values);
}

function buttons(writers, what, take) {
  return Object.entries(writers).map(([extension, write]) => {
    const label = text(LABELS[what], { type: extension.toUpperCase() });
    const button = make("button", { type: "button", textContent: extension.toUpperCase(), attributes: { "aria-label": label } });
    button.addEventListener("click", async () => {
      const name = values.card.classes[values.chosen].replace(/[^\p{L}\p{N}]+/gu, "-");
      const blob = await take(write);
      save(blob, `capsnet-${name}${what === "sheet" ? "-sheet" : ""}.${extension}`);
    });
    return button;
  });
}

/** Ask for the sheet of the chosen capsule, and write it. */
function saveSheet(write) {
  const { card, seen, chosen } = values;
  return new Promise((resolve) => {
    asking.now(async (signal) => resolve(await write(await sheetOf(card, seen, chosen, signal))));
  });
}

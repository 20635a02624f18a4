/** Keeps the sheet that of the chosen capsule: once it comes into sight, and when the hand has come to rest. */

import { byId, watchSight } from "./dom.js";
import { LatestRequest } from "./latest-request.js";
import { sheetOf } from "./queries.js";
import { reporter } from "./status-banner.js";
import { store, values } from "./session.js";
import { text } from "./texts.js";

const REST_MS = 350;

let inSight = false;
let due = 0;

export function keepSheet(sheet) {
  const refused = () => sheet.empty(text("sheet.refused"));
  const latest = new LatestRequest(reporter("sheet", { refused }));
  const refresh = () => {
    clearTimeout(due);
    latest.cancel(); // an answer of before must not fill what is empty
    const { card, image, seen, chosen } = values;
    if (!seen) {
      sheet.empty(image ? "" : text("sheet.empty")); // of an image without an answer the notice says why
    } else if (inSight) {
      sheet.expect();
      const job = async (signal) => sheet.fill(card, chosen, await sheetOf(card, seen, chosen, signal));
      due = setTimeout(() => latest.now(job), REST_MS);
    }
  };
  store.on(["seen", "chosen"], refresh);
  watchSight(byId("sheet-body"), "300px", (now) => {
    inSight = now;
    if (inSight) refresh();
  });
}

/** The state of the page kept for a reload: in this tab alone, as the fragment of its link. */

import { fromFragment, toFragment } from "./share.js";
import { store, values } from "./session.js";

const PLACE = "capsnet-state";
const REST_MS = 300; // ms without a change

let due = 0;

/** Keep what is drawn, chosen and moved, from now on. */
export function keepForReload() {
  store.on(["image", "seen", "chosen", "pose"], () => {
    clearTimeout(due);
    due = setTimeout(write, REST_MS);
  });
  window.addEventListener("pagehide", write);
}

/** The state that was there before a reload, or null where the page was not reloaded. */
export function keptState() {
  const [{ type } = {}] = performance.getEntriesByType("navigation");
  if (!["reload", "back_forward"].includes(type)) return null;
  try {
    const kept = sessionStorage.getItem(PLACE);
    return kept ? fromFragment(kept) : null;
  } catch {
    return null; // storage may be forbidden
  }
}

function write() {
  if (!values.card) return;
  try {
    sessionStorage.setItem(PLACE, toFragment(values));
  } catch {
    // As above; or what is drawn is larger than the storage.
  }
}

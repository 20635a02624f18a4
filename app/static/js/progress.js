/** What the page is waiting for, where there is no answer to look at meanwhile. */

import { byId, say } from "./dom.js";
import { store } from "./session.js";
import { text } from "./texts.js";

export function showProgress() {
  store.on(["asking", "seen"], ({ asking, seen }) => {
    const bar = byId("progress");
    bar.hidden = !asking || seen !== null;
    if (bar.hidden) return;
    const share = asking.share ?? null;
    const isSending = share !== null && share < 1;
    if (isSending) bar.value = share;
    else bar.removeAttribute("value");
    const percent = Math.round(100 * (share ?? 0));
    const words = isSending ? text("progress.sending", { percent }) : text(asking.what ?? "progress.looking");
    say(byId("prediction-words"), words);
  });
}

/** Class mode: the address of this page for the other devices of the network, as a text and as a QR code. */

import { classroom } from "./api.js";
import { byId, say } from "./dom.js";
import { store } from "./session.js";
import { text } from "./texts.js";
import { copy } from "./tools.js";

let found = null; // what the service says of its address
let isAsking = false;

/** Offer the button where other devices can reach the service: with the first answer, since it may need a key. */
export function offerClassroom() {
  const ask = async ({ seen }) => {
    if (!seen || found || isAsking) return;
    isAsking = true;
    found = await classroom().catch(() => null);
    isAsking = false;
    byId("class").hidden = !found?.url;
  };
  store.on(["seen"], ask);
  ask(store.values);
  byId("class").addEventListener("click", show);
  byId("class-copy").addEventListener("click", async () => {
    say(byId("class-copy"), text((await copy(found.url)) ? "copy.copied" : "copy.failed"));
  });
}

async function show() {
  found = (await classroom().catch(() => null)) ?? found; // the service may have another key by now
  const { url, qr } = found;
  if (!url) return void (byId("class").hidden = true);
  byId("class-code").hidden = !qr;
  URL.revokeObjectURL(byId("class-code").src);
  if (qr) byId("class-code").src = URL.createObjectURL(new Blob([qr], { type: "image/svg+xml" }));
  say(byId("class-address"), url);
  byId("class-address").href = url;
  say(byId("class-copy"), text("copy.copy"));
  byId("class-key").hidden = !url.includes("#key=");
  byId("class-dialog").showModal();
}

/** Class mode: the address of this page for the other devices of the network, as a text and as a QR code. */

import { classroom } from "./api.js";
import { byId, say } from "./dom.js";
import { text } from "./texts.js";
import { copy } from "./tools.js";

/** Offer the button where other devices can reach the service. */
export async function offerClassroom() {
  const found = await classroom().catch(() => null); // without a key there is no telling
  if (!found?.url) return;
  byId("class").hidden = false;
  byId("class").addEventListener("click", () => show(found));
  byId("class-copy").addEventListener("click", async () => {
    say(byId("class-copy"), text((await copy(found.url)) ? "copy.copied" : "copy.failed"));
  });
}

function show({ url, qr }) {
  byId("class-code").src = URL.createObjectURL(new Blob([qr], { type: "image/svg+xml" }));
  say(byId("class-address"), url);
  byId("class-address").href = url;
  say(byId("class-copy"), text("copy.copy"));
  byId("class-key").hidden = !url.includes("#key=");
  byId("class-dialog").showModal();
}

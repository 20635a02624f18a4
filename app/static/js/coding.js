/** The dialog with what the page asks as code, in one language at a time. */

import { LANGUAGES, codeFor } from "./code.js";
import { byId, make } from "./dom.js";
import { values } from "./session.js";
import { text } from "./texts.js";
import { showItems, showTexts } from "./tools.js";

let language = "curl";

export function offerCode() {
  byId("code").addEventListener("click", () => {
    showTexts(text("code.title"), text("code.hint"), codeFor(language, values));
    byId("text-choice").replaceChildren(...Object.entries(LANGUAGES).map(choice));
    byId("text-choice").hidden = false;
  });
}

function choice([value, name]) {
  const radio = make("input", { type: "radio", name: "language", value, checked: value === language });
  radio.addEventListener("change", () => {
    language = value;
    showItems(codeFor(language, values));
  });
  return make("label", {}, radio, ` ${name}`);
}

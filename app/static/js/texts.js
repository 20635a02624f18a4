/** The texts of the page, in its language. Each stands in `static/texts/`; the server puts those for scripts in the page. */

import { byId } from "./dom.js";

export const language = document.documentElement.lang;

const texts = JSON.parse(byId("texts").textContent);
const lists = new Intl.ListFormat(language);

/** A text with its {placeholders} filled in. */
export function text(key, values = {}) {
  const words = texts[key] ?? key; // a page that is older than its scripts lacks one
  return words.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there is a text of this key. */
export const hasText = (key) => key in texts;

/** Names as the language lists them: one, one and two. */
export const listed = (names) => lists.format(names);

/** The same in parts, as [{type, value}] with the types element and literal. */
export const listedParts = (names) => lists.formatToParts(names);

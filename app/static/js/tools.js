/** The tools at the head of the page: colours, a link to this state, the commands for it. */

import { byId, make, say } from "./dom.js";
import { language, text as words } from "./texts.js";

const THEME_PLACE = "capsnet-theme";
const THEMES = {
  auto: ["theme.auto", "theme.auto.label"],
  light: ["theme.light", "theme.light.label"],
  dark: ["theme.dark", "theme.dark.label"],
};

/** Light, dark, or as the system has it; remembered where that is allowed. */
export function offerThemes() {
  const remembered = attempt(() => localStorage.getItem(THEME_PLACE));
  wear(remembered in THEMES ? remembered : "auto");
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
    wear(next);
    attempt(() => localStorage.setItem(THEME_PLACE, next));
  });
}

function wear(theme) {
  document.documentElement.dataset.theme = theme;
  const [name, label] = THEMES[theme].map((key) => words(key));
  say(byId("theme"), name);
  byId("theme").setAttribute("aria-label", label);
}

/** Take the image along to another language and to the projector's view: `fragment()` is that of the state. */
export function keepStateInLinks(fragment) {
  byId("languages").addEventListener("click", ({ target }) => {
    if (target.lang) target.href = `?${queryWith("lang", target.lang)}${fragment()}`;
  });
  byId("present-link").addEventListener("click", ({ target }) => {
    target.href = `?${queryWith("present", "")}${fragment()}`;
  });
  byId("languages").querySelector(`[lang="${language}"]`)?.setAttribute("aria-current", "true");
}

function queryWith(name, value) {
  const query = new URLSearchParams(location.search);
  query.set(name, value);
  return query;
}

/** Show texts to be copied, as [{title, text}], in a dialog. */
export function showTexts(title, hint, items) {
  say(byId("text-title"), title);
  say(byId("text-hint"), hint);
  byId("text-choice").hidden = true;
  showItems(items);
  byId("text-dialog").showModal();
}

/** Put other texts into the dialog. */
export function showItems(items) {
  byId("text-items").replaceChildren(...items.map(textItem));
}

function textItem({ title, text }) {
  const copied = make("button", { type: "button", textContent: words("copy.copy") });
  copied.addEventListener("click", async () => say(copied, words((await copy(text)) ? "copy.copied" : "copy.failed")));
  const code = make("pre", { tabIndex: 0, attributes: { "aria-label": title, role: "region" } }, make("code", {}, text));
  return make("section", { className: "text-item" }, make("div", { className: "row" }, make("h3", {}, title), copied), code);
}

/** Whether a text came to the clipboard, which a page that came by plain http may not write. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Say on a button for a moment that it has done its work. */
export function confirm(button, word) {
  const before = button.dataset.word ?? button.textContent;
  button.dataset.word = before;
  say(button, word);
  setTimeout(() => say(button, before), 1600);
}

byId("text-close").addEventListener("click", () => byId("text-dialog").close());

function attempt(action) {
  try {
    return action();
  } catch {
    return null; // storage may be forbidden
  }
}

/** `?present`: large type for a projector, one section at a time; and smaller opening words for those who were here before. */

import { byId, say } from "./dom.js";
import { store } from "./session.js";
import { text } from "./texts.js";

const VISITED = "capsnet-visited";
// Keys of a keyboard and of a presenter. Those of the second line mean something else on a control.
const ANYWHERE = { PageDown: 1, PageUp: -1 };
const OFF_CONTROLS = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
const CONTROLS = "input, select, textarea, canvas, dialog, [role=grid]";

/** Make the opening words small from the second visit on. */
export function welcome() {
  try {
    document.documentElement.classList.toggle("returning", localStorage.getItem(VISITED) !== null);
    localStorage.setItem(VISITED, "1");
  } catch {
    // Storage may be forbidden: every visit is then the first.
  }
}

/** Show one section at a time where the address asks for it; `fragment()` is that of the state, for the way back. */
export function present(fragment) {
  if (!new URLSearchParams(location.search).has("present")) return;
  document.documentElement.classList.add("present");
  byId("present-bar").hidden = false;
  const all = [...document.querySelectorAll("main > .stage, main > section")];
  let sections = all;
  let now = 0;
  const go = (steps) => {
    const current = sections[now];
    sections = all.filter((section) => !section.hidden); // there may be no model whose votes can be shown
    now = Math.max(0, Math.min(sections.length - 1, Math.max(0, sections.indexOf(current)) + steps));
    sections.forEach((section, at) => section.classList.toggle("now", at === now));
    say(byId("present-now"), text("present.now", { now: now + 1, count: sections.length }));
    byId("present-back").disabled = now === 0;
    byId("present-next").disabled = now === sections.length - 1;
    if (steps) window.scrollTo(0, 0);
  };
  byId("present-back").addEventListener("click", () => go(-1));
  byId("present-next").addEventListener("click", () => go(1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") return leave(fragment());
    const step = ANYWHERE[event.key] ?? (event.target.closest?.(CONTROLS) ? undefined : OFF_CONTROLS[event.key]);
    if (step === undefined) return;
    event.preventDefault();
    go(step);
  });
  store.on(["card"], () => go(0));
  go(0);
}

function leave(fragment) {
  const query = new URLSearchParams(location.search);
  query.delete("present");
  location.href = `?${query}${fragment}`;
}

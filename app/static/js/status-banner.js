/** One line at the top of the page for what stands between a question and its answer. Never a blank page. */

import { Gone, Refusal, hasKey, setKey } from "./api.js";
import { byId, say } from "./dom.js";
import { sentenceFor } from "./problems.js";
import { language, text as words } from "./texts.js";

const troubles = new Map(); // channel -> {text, kind, detail}, oldest first
let onKey = () => {};
let isShown = () => false;

/** A reporter for `LatestRequest`, under the name of the question. */
export function reporter(channel, { refused = () => {} } = {}) {
  return {
    slow: () => trouble(channel, "slow", withLastAnswer(words("notice.slow"))),
    well: () => settle(channel),
    failed(error, wait) {
      const { kind, text, detail } = explain(error);
      const seconds = Math.ceil(wait);
      const again = seconds > 2 ? words("notice.again.in", { seconds }) : words("notice.again");
      trouble(channel, kind, wait === null ? text : `${text} ${again}`, detail);
      if (kind === "refused") refused(error);
    },
  };
}

/** Call `retry` when a key was given. */
export function whenKeyIsGiven(retry) {
  onKey = retry;
}

/** Have `check` say whether an answer is on the page, which then is an old one. */
export function whetherShown(check) {
  isShown = check;
}

const withLastAnswer = (text) => (isShown() ? `${text} ${words("notice.last")}` : text);

/** Say something that needs no answer from the server. */
export const mention = (text) => trouble("page", "refused", text);

export const dismiss = () => settle("page");

function explain(error) {
  if (error instanceof Gone) {
    return { kind: "gone", text: withLastAnswer(words("notice.gone")) };
  }
  if (!(error instanceof Refusal)) {
    console.error(error);
    return { kind: "refused", text: words("notice.failed", { reason: error.message }) };
  }
  if (error.status === 401) {
    return { kind: "key", text: words(hasKey() ? "notice.key.wrong" : "notice.key.needed") };
  }
  const [text, detail] = [sentenceFor(error), sentence(error.message)];
  return error.passes ? { kind: "busy", text: withLastAnswer(text), detail } : { kind: "refused", text, detail };
}

const sentence = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function trouble(channel, kind, text, detail = "") {
  troubles.delete(channel);
  troubles.set(channel, { kind, text, detail });
  show();
}

function settle(channel) {
  if (troubles.delete(channel)) show();
}

function show() {
  const { kind, text, detail } = [...troubles.values()].at(-1) ?? { kind: "", text: "", detail: "" };
  const notice = byId("notice");
  notice.hidden = !kind;
  notice.dataset.kind = kind;
  document.body.classList.toggle("stale", ["slow", "gone", "busy", "key"].includes(kind));
  say(byId("notice-text"), text);
  say(byId("notice-detail"), detail);
  byId("notice-details").hidden = !detail;
  byId("key-form").hidden = kind !== "key";
  byId("notice-close").hidden = kind !== "refused";
}

byId("notice-details").open = language === "en"; // the service speaks English

byId("notice-close").addEventListener("click", () => {
  troubles.clear();
  show();
});

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value);
  byId("key").value = "";
  troubles.clear();
  show();
  onKey();
});

window.addEventListener("error", (event) => mention(words("notice.failed", { reason: event.message })));
window.addEventListener("unhandledrejection", ({ reason }) =>
  mention(words("notice.failed", { reason: reason?.message ?? reason })),
);

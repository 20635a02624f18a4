/** The content of the page now, and the questions that change it: about a picture, a capsule, a pose. */

import { Latest } from "./latest.js";
import { drawPoses, look } from "./look.js";
import { reporter, whetherShown } from "./notice.js";
import { Store } from "./store.js";

export const NOTHING = { picture: null, seen: null, chosen: null, pose: null, drawn: new Map(), moved: null, asking: null };

const STROKE_PACE = 120; // ms between questions about a growing stroke: eight answers a second look alive
export const SOON = 250; // ms in which an answer to another picture comes before the old one is cleared away

export const store = new Store({ models: [], card: null, samples: [], ...NOTHING });
export const { values } = store;

export const looking = new Latest(
  reporter("picture", { refused: () => store.set({ ...NOTHING, picture: values.picture }) }),
  { pace: STROKE_PACE },
);
export const moving = new Latest(reporter("pose"));
whetherShown(() => values.seen !== null);
store.on(["seen"], () => values.seen || moving.cancel()); // there is no pose to ask about

/**
 * Ask about a picture and show the answer, with a chosen capsule and its moved pose where a link names them. The answer to
 * another picture, before a `fresh` one, is cleared away unless the new one comes soon.
 */
export async function lookAt(picture, signal, { chosen = null, pose = null, fresh = false } = {}) {
  signal.throwIfAborted(); // while the picture was made
  const { card } = values;
  store.set({ picture });
  const clear = () => store.set({ ...NOTHING, picture, asking: values.asking ?? {} });
  const clearing = fresh ? setTimeout(clear, SOON) : 0;
  signal.addEventListener("abort", () => clearTimeout(clearing));
  const progress = (share) => fresh && store.set({ asking: { share } });
  const { seen, drawn } = await look(card, picture, signal, progress).finally(() => clearTimeout(clearing));
  signal.throwIfAborted();
  moving.cancel();
  const first = seen.found[0];
  store.set({ picture, seen, drawn, chosen: first, pose: null, moved: drawn.get(first), asking: null });
  if (chosen !== null && chosen < card.classes.length) choose(chosen);
  if (pose?.length === card.config.pose_dim) move(pose);
}

export const given = () => values.seen.poses[values.chosen];
export const poseNow = () => values.pose ?? given();

/** Turn to the capsule of another class. */
export function choose(index) {
  const { card, seen, drawn } = values;
  if (!seen) return;
  store.set({ chosen: index, pose: null, moved: drawn.get(index) ?? values.moved });
  if (drawn.has(index)) return moving.cancel();
  return moving.now(async (signal) => {
    const [bitmap] = await drawPoses(card, [index], [seen.poses[index]], signal);
    store.set({ drawn: new Map(drawn).set(index, bitmap), moved: bitmap });
  });
}

/** Move the chosen capsule's pose; null puts it back. */
export function move(pose) {
  const { card, seen, chosen } = values;
  if (!seen) return;
  store.set({ pose });
  moving.soon(async (signal) => {
    const [moved] = await drawPoses(card, [chosen], [poseNow()], signal);
    store.set({ moved });
  });
}

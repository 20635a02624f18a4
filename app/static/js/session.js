/** The content of the page now, and the questions that change it: about an image, a capsule, a pose. */

import { LatestRequest } from "./latest-request.js";
import { drawPoses, queryImage } from "./queries.js";
import { reporter, whetherShown } from "./status-banner.js";
import { Store } from "./store.js";
import { beginWith } from "./strokes.js";

export const NOTHING = { image: null, seen: null, chosen: null, pose: null, drawn: new Map(), moved: null, asking: null };

const STROKE_PACE_MS = 120; // ms between questions about a growing stroke: eight answers a second look alive
export const SOON_MS = 250; // ms in which an answer to another image comes before the old one is cleared away

export const store = new Store({ models: [], card: null, samples: [], ...NOTHING });
export const { values } = store;

export const looking = new LatestRequest(
  reporter("image", { refused: () => store.set({ ...NOTHING, image: values.image }) }),
  { pace: STROKE_PACE_MS },
);
export const moving = new LatestRequest(reporter("pose"));
whetherShown(() => values.seen !== null);
store.on(["seen"], () => values.seen || moving.cancel()); // there is no pose to ask about

/**
 * Ask about an image and show the answer, with a chosen capsule and its moved pose where a link names them. The answer to
 * another image is cleared away unless the new one comes soon.
 */
export async function askAbout(image, signal, { chosen = null, pose = null } = {}) {
  signal.throwIfAborted(); // while the image was made
  const { card } = values;
  const fresh = !goesOn(image);
  store.set({ image });
  const clear = (asking) => store.set({ ...NOTHING, image, asking });
  const clearing = fresh ? setTimeout(() => clear(values.asking ?? {}), SOON_MS) : 0;
  signal.addEventListener("abort", () => clearTimeout(clearing));
  const progress = (share) => fresh && store.set({ asking: { share } });
  const { seen, drawn } = await queryImage(card, image, signal, progress)
    .catch((error) => {
      if (fresh && !signal.aborted) clear(null); // or it would stand beside the new image until the next attempt
      throw error;
    })
    .finally(() => clearTimeout(clearing));
  signal.throwIfAborted();
  moving.cancel();
  const first = seen.found[0];
  store.set({ image, seen, drawn, chosen: first, pose: null, moved: drawn.get(first), asking: null });
  if (chosen !== null && chosen < card.classes.length) choose(chosen);
  if (pose?.length === card.config.pose_dim) move(pose);
}

/** Whether an image is a drawing that goes on from the one whose answer is shown. */
function goesOn({ origin }) {
  const before = values.seen?.image.origin.strokes;
  return Boolean(before && origin.strokes) && beginWith(origin.strokes, before);
}

export const given = () => values.seen.poses[values.chosen];
export const poseNow = () => values.pose ?? given();

/** Turn to the capsule of another class. */
export function choose(index) {
  const { card, seen, drawn } = values;
  if (!seen) return;
  store.set({ chosen: index, pose: null, moved: drawn.get(index) ?? null });
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

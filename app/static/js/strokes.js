/**
 * Strokes: what a hand draws, and the same as a short text.
 *
 * A stroke is {width, points: [[x, y], …]}; all lengths are parts of the board's width.
 */

const SCALE = 8192; // numbers of a link from −4 to 4 in two bytes: a hand may leave the board and come back
const COARSEST = 0.004; // how far a shortened line may be from the one that was drawn
const CORNER = 0.02; // so near to a corner it is smoothed; a hand leaves points about as often

/** Whether a drawing begins with the strokes of another. */
export const beginWith = (strokes, first) => first.every((stroke, index) => stroke === strokes[index]);

/** Draw strokes on a context whose board is `size` pixels wide, smoothly through the middles between points. */
export function draw(context, strokes, size) {
  context.lineCap = context.lineJoin = "round";
  for (const { width, points } of strokes) {
    context.lineWidth = width * size;
    context.beginPath();
    const [first, ...rest] = points.map(([x, y]) => [x * size, y * size]);
    context.moveTo(...first);
    context.lineTo(...first); // a dot, if that is all
    rest.forEach(([x, y], index) => {
      const [nextX, nextY] = rest[index + 1] ?? [x, y];
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    });
    context.stroke();
  }
}

/** Strokes as 16-bit numbers: for each its width and how many points, then the points. */
export function toWords(strokes) {
  return Int16Array.from(
    strokes.flatMap(({ width, points }) => {
      const kept = simplify(points);
      return [word(width), kept.length, ...kept.flat().map(word)];
    }),
  );
}

/** The strokes in such numbers; a stroke that is cut off in the middle is left out. */
export function fromWords(words) {
  const strokes = [];
  for (let at = 0; at + 1 < words.length; ) {
    const [width, count] = words.subarray(at, at + 2);
    if (count < 1) break; // nothing that was written here
    const flat = Array.from(words.subarray(at + 2, at + 2 + 2 * count), (value) => value / SCALE);
    const points = Array.from({ length: Math.floor(flat.length / 2) }, (_, index) => [flat[2 * index], flat[2 * index + 1]]);
    if (points.length) strokes.push({ width: width / SCALE, points: withCorners(points) });
    at += 2 + 2 * count;
  }
  return strokes;
}

/** A shortened line with points near its corners again: `draw` smooths between points, however far apart they are. */
function withCorners(points) {
  return points.flatMap(([x, y], index) => {
    const [nextX, nextY] = points[index + 1] ?? [x, y];
    const share = CORNER / Math.hypot(nextX - x, nextY - y);
    if (!(share < 0.5)) return [[x, y]];
    const between = (part) => [x + part * (nextX - x), y + part * (nextY - y)];
    return [[x, y], between(share), between(1 - share)];
  });
}

const word = (length) => Math.round(Math.max(-3.99, Math.min(3.99, length)) * SCALE);

/** Ramer, Douglas and Peucker: keep the point furthest from the chord, and both halves likewise. */
function simplify(points) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points.at(-1)];
  const distances = points.map((point) => fromChord(point, first, last));
  const furthest = distances.indexOf(Math.max(...distances));
  if (distances[furthest] <= COARSEST) return [first, last];
  return [...simplify(points.slice(0, furthest + 1)).slice(0, -1), ...simplify(points.slice(furthest))];
}

function fromChord([x, y], [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const chord = Math.hypot(dx, dy);
  return chord < 1e-9 ? Math.hypot(x - x0, y - y0) : Math.abs(dx * (y0 - y) - dy * (x0 - x)) / chord;
}

/**
 * Strokes: what a hand draws, and the same as a short text.
 *
 * A stroke is {width, points: [[x, y], …]}; all lengths are parts of the board's width.
 */

const SCALE = 255; // a coordinate in a link is a byte
const COARSEST = 0.004; // how far a shortened line may be from the one that was drawn

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

/** Bytes of strokes: for each its width and number of points, then the points, a byte a coordinate. */
export function toBytes(strokes) {
  return Uint8Array.from(
    strokes.flatMap(({ width, points }) => {
      const kept = simplify(points).slice(0, 255);
      return [byte(width * 4), kept.length, ...kept.flat().map(byte)];
    }),
  );
}

/** The strokes in such bytes; what is cut off in the middle of one is left out. */
export function fromBytes(bytes) {
  const strokes = [];
  for (let at = 0; at + 1 < bytes.length; ) {
    const [width, count] = bytes.subarray(at, at + 2);
    const flat = Array.from(bytes.subarray(at + 2, at + 2 + 2 * count), (value) => value / SCALE);
    const points = Array.from({ length: Math.floor(flat.length / 2) }, (_, index) => [flat[2 * index], flat[2 * index + 1]]);
    if (points.length) strokes.push({ width: width / SCALE / 4, points });
    at += 2 + 2 * count;
  }
  return strokes;
}

const byte = (share) => Math.round(Math.max(0, Math.min(1, share)) * SCALE);

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

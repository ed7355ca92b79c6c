// How large the gradient is at every time: 1 at the last time, on a logarithmic scale.

import { svg } from "./dom.js";

const WIDTH = 440, HEIGHT = 190, LEFT = 50, RIGHT = 12, TOP = 12, BOTTOM = 40;
const LEAST = -6; // the lowest power of ten that is shown

/** lines: [{name, className, sizes}], each a list of sizes, from the first time to the last. */
export function throughTime(place, text, lines) {
  const last = Math.max(1, text.length - 1);
  const x = (t) => LEFT + ((WIDTH - LEFT - RIGHT) * t) / last;
  const top = 2, y = (power) => TOP + ((HEIGHT - TOP - BOTTOM) * (top - Math.min(top, Math.max(LEAST, power)))) / (top - LEAST);
  const powers = [2, 0, -2, -4, -6];
  const words = (px, py, text, anchor = "middle") => svg("text", { x: px, y: py, "text-anchor": anchor }, text);
  const every = Math.ceil(text.length / 28);
  const drawn = lines.map(({ className, sizes }) => {
    const end = sizes.at(-1) || 1;
    return svg("polyline", { class: className, points: sizes.map((size, t) => `${x(t).toFixed(1)},${y(Math.log10((size || 1e-30) / end)).toFixed(1)}`).join(" ") });
  });
  place.replaceChildren(svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": lines.map(({ name, sizes }) =>
    `${name}: at the first time ${((sizes[0] ?? 0) / (sizes.at(-1) || 1)).toExponential(1)} of that at the last`).join("; ") },
  ...powers.flatMap((power) => [svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(power), y2: y(power) }),
    words(LEFT - 4, y(power) + 3, power === 0 ? "1" : `${power === LEAST ? "≤ " : ""}10^${power}`, "end")]),
  ...[...text].map((letter, t) => (t % every ? "" : words(x(t), HEIGHT - BOTTOM + 14, letter))),
  ...drawn,
  ...lines.map(({ name, className }, k) => svg("g", {}, svg("line", { class: className, x1: LEFT + 135 * k, x2: LEFT + 18 + 135 * k, y1: HEIGHT - 9, y2: HEIGHT - 9 }),
    words(LEFT + 23 + 135 * k, HEIGHT - 6, name, "start")))));
}

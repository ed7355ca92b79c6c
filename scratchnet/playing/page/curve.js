// The curve of a training: loss in blue, share of right answers in orange.

import { short, svg } from "./dom.js";

const WIDTH = 440, HEIGHT = 110, LEFT = 34, RIGHT = 34, TOP = 8, BOTTOM = 16;

export class Curve {
  /** legend: what the two lines are. */
  constructor(place, legend = "loss of the batches (blue, left), right answers (orange, right)") {
    this.place = place; this.legend = legend; this.clear();
  }

  clear() { this.losses = []; this.rights = []; this.draw(); }

  /** A point after so many steps; `right` may be null where it was not judged. */
  add(steps, loss, right) {
    if (this.losses.length && steps <= this.losses.at(-1)[0]) this.losses = this.losses.filter(([n]) => n < steps);
    if (loss != null) this.losses.push([steps, loss]);
    if (right != null) this.rights = [...this.rights.filter(([n]) => n < steps), [steps, right]];
    if (this.losses.length > 800) this.losses = this.losses.filter((_, k) => k % 2 === 0);
    this.draw();
  }

  draw() {
    const last = Math.max(1, this.losses.at(-1)?.[0] ?? 1, this.rights.at(-1)?.[0] ?? 1);
    const most = Math.max(0.1, ...this.losses.map(([, loss]) => loss));
    const x = (n) => (LEFT + ((WIDTH - LEFT - RIGHT) * n) / last).toFixed(1);
    const y = (share) => (TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)).toFixed(1);
    const line = (points, top) => points.map(([n, v]) => `${x(n)},${y(v / top)}`).join(" ");
    const text = (px, py, words, anchor) => svg("text", { x: px, y: py, "text-anchor": anchor }, words);
    const right = this.rights.at(-1)?.[1];
    this.place.replaceChildren(svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
      "aria-label": this.losses.length ? `Loss ${short(this.losses.at(-1)[1])} after ${last} steps` : "Curve of the training, still empty",
    },
    ...[0, 0.5, 1].map((v) => svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(v), y2: y(v) })),
    text(LEFT - 4, Number(y(1)) + 4, short(most), "end"), text(LEFT - 4, y(0), "0", "end"),
    text(WIDTH - RIGHT + 4, Number(y(1)) + 4, "100%", "start"), text(WIDTH - RIGHT + 4, y(0), "0%", "start"),
    text(LEFT, HEIGHT - 3, this.legend, "start"),
    text(WIDTH - RIGHT, HEIGHT - 3, this.losses.length ? `${last} steps` : "", "end"),
    svg("polyline", { class: "loss-line", points: line(this.losses, most) }),
    svg("polyline", { class: "right-line", points: line(this.rights, 1) })));
    return right;
  }
}

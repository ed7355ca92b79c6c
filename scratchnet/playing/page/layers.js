// The layers, one below the other: their outputs at the left, δ on the way back at the right.

import { h } from "./dom.js";
import { columnsFor, Picture } from "./picture.js";

const WIDTH = 210; // of all pictures of one layer's outputs, in pixels of the screen

export class LayerList {
  /** point(message) is told which number the reader points at, choose(layer, unit) which neuron. */
  constructor(place, { point, choose }) { Object.assign(this, { place, point, choose }); }

  /** Whether they are layers of another network than before. */
  draw(picture) {
    const plan = JSON.stringify(picture.layers.map(({ text, shape }) => [text, shape]));
    const fresh = plan !== this.plan;
    if (fresh) { this.plan = plan; this.#build(picture); }
    this.seen.draw(picture.seen, 28);
    this.dx.draw(picture.dx, 28);
    picture.layers.forEach((layer, i) => {
      const cells = layer.output.length / this.outputs[i].length;
      for (const [pictures, values] of [[this.outputs[i], layer.output], [this.deltas[i], layer.delta]]) {
        pictures.forEach((one, c) => one.draw(values.slice(c * cells, (c + 1) * cells), layer.shape.length === 3 ? layer.shape[2] : columnsFor(cells)));
      }
      this.captions[i].textContent = layer.off.length ? ` — switched off: ${layer.off.join(", ")}` : "";
    });
    this.mark(picture.selected);
    return fresh;
  }

  /** Frame the chosen neuron. */
  mark({ layer, unit }) {
    this.outputs.forEach((pictures, i) => pictures.forEach((one, c) => {
      if (pictures.length > 1) one.element.classList.toggle("chosen", i === layer && c === unit);
      else one.ring(i === layer ? unit : null);
    }));
  }

  /** Frame what a window covers in the layer before; `found` is the engine's answer. */
  frame(layer, channel, { kind, rows, columns }) {
    const inside = (places) => places.filter((k) => k >= 0);
    const [r, c] = [inside(rows), inside(columns)];
    const before = layer === 0 ? [this.seen] : this.outputs[layer - 1];
    const met = kind === "pool" ? [before[channel]] : before;
    if (r.length && c.length) met.forEach((one) => one?.frame(r[0], c[0], r.at(-1) - r[0] + 1, c.at(-1) - c[0] + 1));
  }

  #build(picture) {
    const small = (label, kind, point) => new Picture({ label, kind, width: 90, point });
    this.seen = small("What the network sees", "ink", () => {});
    this.dx = small("∂C/∂x, the gradient by every pixel", "signed", (k) => {
      const first = picture.layers[0].shape.length === 3;
      this.point({ what: "delta", layer: -1, index: first ? [0, Math.floor(k / 28), k % 28] : [k] });
    });
    this.outputs = []; this.deltas = []; this.captions = [];
    const rows = picture.layers.map((layer, i) => {
      const letter = layer.can_switch || /Linear|Conv/.test(layer.kind) ? "z" : "a";
      const owner = this.#owner(picture, i);
      const make = (what, words) => this.#pictures(layer.shape, (c) => ({
        label: `Layer ${i}, ${layer.text}: ${words}${layer.shape.length === 3 ? `, map ${c}` : ""}`,
        hint: owner == null ? "" : "Enter chooses the neuron. ",
        point: (k) => this.point({ what, layer: i, index: layer.shape.length === 3 ? [c, Math.floor(k / layer.shape[2]), k % layer.shape[2]] : [k] }),
        choose: owner == null ? undefined : (k) => this.choose(owner, layer.shape.length === 3 ? c : k),
      }));
      this.outputs.push(make("output", "output"));
      this.deltas.push(make("delta", "delta"));
      this.captions.push(h("span"));
      const figure = (pictures, caption) => h("figure", {}, h("figcaption", {}, caption),
        h("div", { class: "maps" }, ...pictures.map((one) => one.element)));
      return h("div", { class: "layer" },
        h("div", { class: "pair" }, figure(this.outputs[i], h("b", {}, `${letter}, layer ${i}: ${layer.text}`, this.captions[i])),
          figure(this.deltas[i], `δ = ∂C/∂${letter}`)));
    });
    this.place.replaceChildren(h("div", { class: "layer" }, h("div", { class: "pair" },
      h("figure", {}, h("figcaption", {}, "x, as the network sees it"), this.seen.element),
      h("figure", {}, h("figcaption", {}, "∂C/∂x, by every pixel"), this.dx.element))), ...rows);
  }

  /** The layer whose neurons or feature maps have this layer's outputs, if there is one. */
  #owner(picture, i) {
    for (let k = i; k >= 0; k--) {
      if (/^(Linear|Conv2d)$/.test(picture.layers[k].kind)) return k;
      if (picture.layers[k].kind === "Flatten") return null;
    }
    return null;
  }

  #pictures(shape, options) {
    if (shape.length !== 3) {
      const columns = columnsFor(shape[0]);
      return [new Picture({ ...options(0), width: Math.min(WIDTH, 24 * columns) })];
    }
    const side = shape[0] === 1 ? 112 : Math.floor(WIDTH / Math.min(shape[0], 4)) - 5;
    return Array.from({ length: shape[0] }, (_, c) => new Picture({ ...options(c), width: side }));
  }
}

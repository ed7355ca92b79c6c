// One neuron or feature map: its weights, their gradients, and what you do to it.

import { attempt, h, short } from "./dom.js";
import { columnsFor, Picture } from "./picture.js";

export class NeuronPanel {
  /** point(message): the reader points at a number; changed(picture): the engine's new numbers. */
  constructor(place, title, { point, ask, changed }) {
    Object.assign(this, { place, title, point, ask, changed });
  }

  draw(picture) {
    const { layer, unit, shape } = (this.about = picture.selected);
    const kind = picture.layers[layer].kind;
    const plan = JSON.stringify([layer, unit, shape, picture.layers[layer].text]);
    if (plan !== this.plan) { this.plan = plan; this.#build(kind); }
    if (!this.taken && document.activeElement !== this.value) {
      // until the reader takes a weight, it is the one that matters most for this drawing
      const sizes = this.about.gradient.map((v) => Math.abs(v ?? 0));
      this.cell = sizes.indexOf(Math.max(...sizes));
    }
    this.title.textContent = `${kind === "Conv2d" ? "Feature map" : "Neuron"} ${unit} of layer ${layer}`;
    const cells = this.about.weights.length / this.weights.length;
    const columns = shape.length === 3 ? shape[2] : cells === 784 ? 28 : columnsFor(cells);
    this.weights.forEach((one, c) => one.draw(this.about.weights.slice(c * cells, (c + 1) * cells), columns));
    this.gradients.forEach((one, c) => one.draw(this.about.gradient.slice(c * cells, (c + 1) * cells), columns));
    if (this.about.bias !== undefined) {
      this.bias.textContent = `b = ${short(this.about.bias)}, ∂C/∂b = ${short(this.about.bias_gradient)}`;
    }
    this.off.hidden = !this.about.can_switch;
    this.off.textContent = this.about.off ? "Switch it on again" : "Switch it off";
    this.#name();
  }

  #build(kind) {
    const { layer, unit, shape } = this.about;
    this.taken = false;
    const count = shape.length === 3 ? shape[0] : 1;
    const side = shape.length === 3 ? Math.max(40, Math.floor(170 / count) - 4) : 168;
    const make = (words) => Array.from({ length: count }, (_, c) => new Picture({
      label: `${words} of ${kind === "Conv2d" ? "map" : "neuron"} ${unit}${count > 1 ? `, channel ${c}` : ""}`,
      hint: "Enter takes a weight to edit. ",
      width: side,
      point: (k) => this.point({ what: "gradient", layer, parameter: "weight", index: this.#index(c, k) }),
      choose: (k) => { this.taken = true; this.cell = this.#flat(c, k); this.#name(true); },
    }));
    this.weights = make("Weights"); this.gradients = make("Gradient");
    this.bias = h("button", {
      type: "button", class: "number",
      onpointerenter: () => this.point({ what: "gradient", layer, parameter: "bias", index: [unit] }),
      onfocus: () => this.point({ what: "gradient", layer, parameter: "bias", index: [unit] }),
    });
    this.off = h("button", { type: "button", class: "switch", onclick: () => this.#act("switch", { layer, unit }) });
    this.which = h("span", { class: "which" });
    this.value = h("input", { type: "number", step: "any", class: "weight", "aria-label": "Value of the weight" });
    this.checked = h("div", { class: "checked", "aria-live": "polite" });
    const figure = (pictures, caption) => h("figure", {}, h("div", { class: "maps" }, ...pictures.map((one) => one.element)), h("figcaption", {}, caption));
    this.place.replaceChildren(
      h("div", { class: "pictures" }, figure(this.weights, "its weights W"), figure(this.gradients, kind === "Conv2d" ? "∂C/∂W, summed over all windows" : "∂C/∂W = δ aᵀ")),
      this.about.bias === undefined ? "" : h("p", {}, this.bias),
      h("form", { class: "settings", onsubmit: (e) => { e.preventDefault(); this.#edit(); } },
        h("label", {}, this.which, " = ", this.value), h("button", {}, "Set"),
        h("button", { type: "button", class: "check-gradient", onclick: () => this.#check() }, "Check its gradient"), this.off),
      this.checked);
  }

  #index(c, k) {
    const { unit, shape } = this.about;
    return shape.length === 3 ? [unit, c, Math.floor(k / shape[2]), k % shape[2]] : [unit, k];
  }

  #flat(c, k) { return c * (this.about.weights.length / this.weights.length) + k; }

  get #chosen() {
    const cells = this.about.weights.length / this.weights.length;
    return this.#index(Math.floor(this.cell / cells), this.cell % cells);
  }

  #name(fresh = false) {
    this.which.textContent = `W[${this.#chosen.join(",")}]`;
    if (fresh || document.activeElement !== this.value) this.value.value = Number(this.about.weights[this.cell]?.toPrecision(4));
    if (fresh) this.checked.replaceChildren();
  }

  async #act(action, fields) {
    const picture = await attempt(() => this.ask(action, fields));
    if (picture) this.changed(picture);
  }

  #edit() {
    this.taken = true;
    return this.#act("edit", { layer: this.about.layer, parameter: "weight", index: this.#chosen, value: Number(this.value.value) });
  }

  async #check() {
    this.checked.textContent = "checking …"; // the first time, PyTorch has to be loaded
    const found = await attempt(() => this.ask("check", { layer: this.about.layer, parameter: "weight", index: this.#chosen }));
    if (!found) { this.checked.replaceChildren(); return; }
    const row = (name, value) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, typeof value === "string" ? value : String(value)));
    this.checked.replaceChildren(
      h("table", {}, h("tbody", {}, row("by hand, in the engine", found.by_hand),
        row("(C(w + h) − C(w − h)) / 2h", found.difference), row("PyTorch's autograd", found.torch))),
      h("p", { class: "same" }, found.agree ? "✓ They agree." : "✗ They do not agree."));
  }
}

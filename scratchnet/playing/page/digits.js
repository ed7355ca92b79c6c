// One drawing in one network: what it sees and thinks, δ on the way back, and learning.

import { keep, packed, unpacked } from "./address.js";
import { ClassRows } from "./classes.js";
import { attempt, say, short } from "./dom.js";
import { showFormula } from "./formula.js";
import { LayerList } from "./layers.js";
import { NeuronPanel } from "./neuron.js";
import { Pad } from "./pad.js";
import { Training } from "./training.js";
import { ask, latest } from "./transport.js";
import { showWindow } from "./window.js";

export class DigitsView {
  constructor(place, name, start) {
    this.name = name;
    place.append(document.querySelector("#digits").content.cloneNode(true));
    this.find = (selector) => place.querySelector(selector);
    this.ask = (action, fields) => ask(name, action, fields);

    this.pad = new Pad(this.find(".pad"), () => { this.look(); this.remember(); });
    this.rows = new ClassRows(this.find(".classes"), {
      label: (label) => { this.label = label; this.look(); this.remember(); },
      point: (what, index) => this.point({ what, layer: this.picture.layers.length - 1, index: [index] }),
    });
    this.layers = new LayerList(this.find(".layers"), {
      point: (message) => this.point(message),
      choose: (layer, unit) => this.select(layer, unit),
    });
    this.neuron = new NeuronPanel(this.find(".neuron"), this.find(".neuron-title"), {
      point: (message) => this.point(message),
      ask: this.ask,
      changed: (picture) => this.show(picture),
    });
    this.training = new Training(place, {
      ask: this.ask,
      changed: (picture) => this.show(picture),
      settings: (fields) => { Object.assign(this.kept, fields); this.remember(); },
    });
    // the engine answers one drawing after another; of those drawn meanwhile, only the last counts
    this.look = latest(async () => {
      await attempt(async () => {
        this.show(await this.ask("see", { pixels: this.pad.pixels, label: this.label, centre: this.find(".centre").checked }));
        document.body.dataset.seen = Number(document.body.dataset.seen ?? 0) + 1;
      });
    });
    this.point = latest((message) => attempt(() => this.#explain(message)));
    this.#connect(place);
    this.kept = {};
    this.label = null;
    this.ready = this.#begin(start);
  }

  stop() { this.training.stop(); clearTimeout(this.timer); }

  async #begin(start) {
    const first = await this.ask("open");
    document.querySelector("#about").textContent = first.about || `Digits: ${first.pictures}`;
    this.training.open(first);
    this.show(first);
    await this.training.restore(start);
    const drawing = start.drawing ? unpacked(start.drawing) : null;
    if (/^\d$/.test(start.label ?? "")) this.#choose(Number(start.label));
    if (start.centre === "0") this.find(".centre").checked = false;
    if (drawing) this.pad.pixels = drawing; else await this.#example(0, false);
    await this.look();
    if (start.neuron) {
      const [layer, unit] = start.neuron.split(".").map(Number);
      await attempt(() => this.select(layer, unit));
    }
    await this.#explain({ what: "loss" });
  }

  #connect(place) {
    const on = (action, f) => this.find(`[data-do="${action}"]`).addEventListener("click", f);
    on("clear", () => { this.pad.clear(); this.look(); this.remember(); });
    on("erase", (e) => {
      this.pad.erasing = !this.pad.erasing;
      e.currentTarget.setAttribute("aria-pressed", this.pad.erasing);
    });
    on("sample", () => attempt(() => this.#example(Math.floor(Math.random() * 1e6), true)));
    for (const button of place.querySelectorAll("[data-shift]")) {
      button.addEventListener("click", () => this.pad.shift(...button.dataset.shift.split(",").map(Number)));
    }
    this.find(".centre").addEventListener("change", () => { this.look(); this.remember(); });
  }

  /** Put a picture that no network here has learnt from on the pad. */
  async #example(number, choose) {
    const { pixels, label } = await this.ask("sample", { number });
    this.pad.pixels = pixels;
    if (choose) { this.#choose(label); await this.look(); this.remember(); }
  }

  #choose(label) { this.label = label; this.rows.choose(label); }

  async select(layer, unit) {
    const { selected } = await this.ask("select", { layer, unit });
    this.picture.selected = selected;
    this.neuron.draw(this.picture);
    this.layers.mark(selected);
    this.remember();
  }

  async #explain(message) {
    this.asked = message;
    if (message.what === "gradient" && message.layer !== this.picture.selected.layer) message = this.asked = { what: "loss" };
    const formula = await this.ask("formula", message);
    showFormula(this.find(".formula"), formula);
    const kind = this.picture.layers[message.layer]?.kind ?? "";
    if (message.what === "output" && message.index.length === 3 && /Conv2d|Pool2d/.test(kind)) {
      const found = await this.ask("window", message);
      showWindow(this.find(".formula"), found);
      this.layers.frame(message.layer, message.index[0], found);
    }
  }

  /** All numbers of the last pass. */
  show(picture) {
    this.picture = picture;
    this.rows.draw(picture);
    if (this.layers.draw(picture)) this.asked = { what: "loss" }; // of another network
    this.neuron.draw(picture);
    this.training.draw(picture);
    this.find(".loss").textContent = `C = ${short(picture.loss)}, if it is a ${picture.classes[picture.label]}`;
    if (this.asked && !this.training.running) { // the number that is explained has changed too
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.point(this.asked), 150);
    }
    if (picture.loss == null) say("The loss is not finite any more: undo, or take a smaller learning rate.");
  }

  /** Keep the situation in the address. */
  remember() {
    if (!this.picture) return;
    const { layer, unit } = this.picture.selected;
    keep({
      view: this.name, label: this.label, centre: this.find(".centre").checked ? null : 0, ...this.kept,
      neuron: `${layer}.${unit}`, drawing: packed(this.pad.pixels),
    });
  }
}

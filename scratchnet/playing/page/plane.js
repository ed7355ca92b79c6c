// Two inputs: how a network divides the plane, what each neuron does, and what goes wrong.

import { keep } from "./address.js";
import { Curve } from "./curve.js";
import { attempt, counted, h, short, svg } from "./dom.js";
import { Picture } from "./picture.js";
import { trainUntilPaused } from "./slices.js";
import { ask } from "./transport.js";

const FIELDS = ["data", "hidden", "activation", "init", "optimiser", "rate", "batch", "decay", "seed"];

export class PlaneView {
  constructor(place, start) {
    place.append(document.querySelector("#plane").content.cloneNode(true));
    this.find = (selector) => place.querySelector(selector);
    this.ask = (action, fields) => ask("plane", action, fields);
    this.form = this.find(".settings-form");
    this.curve = new Curve(this.find(".curve"), "loss (blue, left), right answers on other points (orange, right)");
    this.map = new Picture({
      label: "The plane, orange where the network says orange", width: 400, hint: "Enter adds a point. ",
      choose: (cell) => this.#add(cell),
    });
    this.map.element.classList.add("smooth");
    this.dots = svg("svg", { viewBox: "-1 -1 2 2", class: "dots", "aria-hidden": "true" });
    this.map.element.append(this.dots);
    this.find(".plane").append(this.map.element);
    this.find(".presets").addEventListener("change", (e) => this.#preset(e.target.value));
    this.form.addEventListener("submit", (e) => { e.preventDefault(); this.#start(); });
    this.find('[data-do="train"]').addEventListener("click", () => (this.running ? this.stop() : trainUntilPaused(this, (picture) => this.show(picture))));
    this.find('[data-do="step"]').addEventListener("click", () => { this.stop(); attempt(async () => this.show(await this.ask("train", { steps: 1 }))); });
    this.ready = this.#begin(start);
  }

  stop() { this.running = false; }

  async #begin(start) {
    const first = await this.ask("open");
    document.querySelector("#about").textContent = "Points in the plane, in two classes";
    const group = (label, learns) => h("optgroup", { label }, ...first.presets.filter((p) => p.learns === learns)
      .map((p) => h("option", { value: p.name }, p.title)));
    this.presets = Object.fromEntries(first.presets.map((p) => [p.name, p]));
    this.find(".presets").append(group("goes well", true), group("goes wrong", false), h("option", { value: "" }, "settings of my own"));
    if (start.data) {
      this.#fill(start);
      this.points = start.points ? JSON.parse(`[${start.points}]`) : [];
      await this.#start();
    } else await this.#preset(Object.hasOwn(this.presets, start.preset ?? "") ? start.preset : "xor");
  }

  async #preset(name) {
    this.stop();
    if (!name) return;
    const picture = await attempt(() => this.ask("preset", { name }));
    if (!picture) return;
    this.find(".presets").value = name;
    this.find(".about").textContent = this.presets[name].about;
    this.points = [];
    this.#fill(picture);
    this.#fresh(picture);
    keep({ view: "plane", preset: name });
  }

  async #start() {
    this.stop();
    const said = Object.fromEntries(new FormData(this.form));
    const fields = { ...said, hidden: said.hidden.split(/[ ,]+/).filter(Boolean).map(Number) };
    for (const name of ["rate", "batch", "decay", "seed"]) fields[name] = Number(said[name]);
    const picture = await attempt(() => this.ask("start", { ...fields, points: said.data === "own" ? this.points : [] }));
    if (!picture) return;
    this.find(".presets").value = "";
    this.find(".about").textContent = "";
    this.#fresh(picture);
    this.#keep();
  }

  #fill(settings) {
    for (const name of FIELDS) if (settings[name] != null) this.form.elements[name].value = settings[name];
  }

  #fresh(picture) { this.curve.clear(); this.show(picture); }

  #keep() {
    const said = Object.fromEntries(new FormData(this.form));
    keep({ view: "plane", ...said, points: said.data === "own" ? JSON.stringify(this.points).slice(1, -1) : null });
  }

  async #add(cell) {
    const round = (v) => Math.round(100 * v) / 100, side = this.map.columns;
    const x = (2 * (cell % side) + 1) / side - 1, y = 1 - (2 * Math.floor(cell / side) + 1) / side;
    const point = [round(x), round(y), Number(this.find('[name="class"]:checked').value)];
    const picture = await attempt(() => this.ask("add", { point }));
    if (!picture) return;
    this.find(".presets").value = "";
    this.find(".about").textContent = "Points of your own: the network goes on with what it has learnt.";
    this.form.elements.data.value = "own";
    this.points = picture.points;
    this.show(picture);
    this.#keep();
  }

  show(picture) {
    this.map.draw(picture.p, picture.side);
    const dot = ([x, y, k], judges) => svg("circle", { cx: x, cy: -y, r: judges ? 0.014 : 0.024, class: `${k ? "one" : "zero"} ${judges ? "judge" : ""}` });
    this.dots.replaceChildren(...picture.judges.map((p) => dot(p, true)), ...picture.points.map((p) => dot(p, false)));
    this.#neurons(picture);
    this.curve.add(picture.steps, picture.loss, picture.valid ?? picture.right);
    const share = (v) => (v == null ? "–" : `${(100 * v).toFixed(1)}%`);
    const other = picture.judges.length ? ` Other points, hollow: loss ${short(picture.valid_loss)}, ${share(picture.valid)} right.` : "";
    this.find(".progress").textContent = picture.points.length
      ? `${counted(picture.steps, "step")}. Its points: loss ${short(picture.loss)}, ${share(picture.right)} right.${other}`
      : "There are no points yet: click into the plane.";
  }

  #neurons(picture) {
    const plan = JSON.stringify(picture.neurons.map((layer) => layer.length));
    if (plan !== this.plan) {
      this.plan = plan;
      this.pictures = picture.neurons.map((layer, i) => layer.map((_, j) =>
        new Picture({ label: `z of neuron ${j} in hidden layer ${i + 1}`, width: 50 })));
      this.find(".neurons").replaceChildren(...this.pictures.map((layer, i) => h("figure", {},
        h("figcaption", {}, `hidden layer ${i + 1}`), h("div", { class: "maps" }, ...layer.map((one) => one.element)))));
    }
    picture.neurons.forEach((layer, i) => layer.forEach((z, j) => this.pictures[i][j].draw(z, picture.small)));
  }
}

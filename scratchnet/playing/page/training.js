// Learning: one step on the drawing, or many on the pictures, with what they change.

import { Curve } from "./curve.js";
import { attempt, counted, h, short } from "./dom.js";
import { trainUntilPaused } from "./slices.js";

export class Training {
  /** ask(action, fields): the engine; changed(picture): its new numbers; settings(fields): for the address. */
  constructor(place, { ask, changed, settings }) {
    Object.assign(this, { ask, changed, settings });
    this.find = (selector) => place.querySelector(selector);
    this.curve = new Curve(this.find(".curve"));
    this.running = false;
    this.find('[data-do="train"]').addEventListener("click", () => (this.running ? this.stop() : this.#run()));
    this.find('[data-do="step"]').addEventListener("click", () => this.#act("step"));
    this.find('[data-do="undo"]').addEventListener("click", () => this.#act("undo"));
    this.find('[data-do="given"]').addEventListener("click", () => {
      this.settings({ hidden: null, activation: null });
      this.curve.clear(); this.#act("new", { given: true });
    });
    for (const name of ["rate", "batch", "optimiser"]) this.find(`.${name}`).addEventListener("change", () => this.#set());
    this.find(".fresh").addEventListener("submit", (e) => { e.preventDefault(); this.#fresh(); });
  }

  /** The first picture: which pictures there are, and how good the network is. */
  open(first) {
    this.examples = first.examples;
    this.right = first.valid;
    this.curve.add(first.steps, null, first.valid);
  }

  /** Settings from an address. */
  async restore(start) {
    for (const name of ["rate", "batch", "optimiser"]) if (start[name] != null) this.find(`.${name}`).value = start[name];
    if (["rate", "batch", "optimiser"].some((name) => start[name] != null)) await this.#set();
    if (start.hidden != null) {
      this.find(".hidden").value = start.hidden;
      if (start.activation) this.find(".activation").value = start.activation;
      await this.#fresh();
    }
  }

  stop() { this.running = false; }

  draw(picture) {
    const inputs = { rate: picture.rate, batch: picture.batch, optimiser: picture.optimiser };
    for (const [name, value] of Object.entries(inputs)) {
      const input = this.find(`.${name}`);
      if (document.activeElement !== input) input.value = value;
    }
    this.find('[data-do="undo"]').disabled = !picture.undos;
    if (picture.valid != null) this.right = picture.valid;
    const speed = this.running && this.speed ? `, ${Math.round(this.speed)} steps a second` : "";
    this.find(".progress").textContent = `${counted(picture.steps, "step")}${speed}. Of pictures that it does not learn from, the network reads ${(100 * this.right).toFixed(1)}% rightly.`;
    this.#tell(picture.stepped);
  }

  async #run() {
    this.find(".step-result").replaceChildren();
    let first = true, made = 0;
    const begun = performance.now();
    await trainUntilPaused(this, (picture) => {
      first = false;
      made += picture.trained;
      this.speed = (1000 * made) / (performance.now() - begun);
      this.curve.add(picture.steps, picture.mean_loss, picture.valid);
      this.changed(picture);
      this.frames = (this.frames ?? 0) + 1;
      document.body.dataset.frames = this.frames;
    }, () => ({ first }));
  }

  async #act(action, fields) {
    this.stop();
    const picture = await attempt(() => this.ask(action, fields));
    if (!picture) return;
    this.changed(picture);
    if (picture.valid != null) this.curve.add(picture.steps, null, picture.valid);
  }

  async #set() {
    const fields = { rate: Number(this.find(".rate").value), batch: Number(this.find(".batch").value), optimiser: this.find(".optimiser").value };
    const picture = await attempt(() => this.ask("set", fields));
    if (picture) { this.settings(fields); this.changed(picture); }
  }

  async #fresh() {
    this.stop();
    const text = this.find(".hidden").value, activation = this.find(".activation").value;
    const hidden = text.split(/[ ,]+/).filter(Boolean).map(Number);
    const picture = await attempt(() => this.ask("new", { hidden, activation, seed: 0 }));
    if (!picture) return;
    this.settings({ hidden: text, activation });
    this.curve.clear();
    this.curve.add(picture.steps, null, picture.valid);
    this.changed(picture);
  }

  #tell(stepped) {
    if (!stepped) return;
    const { before, after, foretold, rate, moved } = stepped;
    const row = (name, ...values) => h("tr", {}, h("th", { scope: "row" }, name), ...values.map((v) => h("td", {}, short(v))));
    this.find(".step-result").replaceChildren(
      h("h3", {}, `One step, with learning rate ${short(rate)}`),
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "number"), h("th", { scope: "col" }, "before"), h("th", { scope: "col" }, "after"))),
        h("tbody", {}, row("C, of this drawing", before, after), ...moved.map((m) => row(m.name, m.before, m.after)))),
      foretold == null ? "" : h("p", { class: "quiet" },
        `Were C a straight line, it would now be C − rate · ‖∂C/∂w‖² = ${short(foretold)}.`));
  }
}

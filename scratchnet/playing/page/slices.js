// Training on the page, in slices of time: the engine answers after each, until it is paused.

import { attempt } from "./dom.js";

const SLICE = 20; // milliseconds that the engine trains before it answers

/** Train while view.running; show(picture) is told every answer, and fields() go with each question. */
export async function trainUntilPaused(view, show, fields = () => ({})) {
  const button = view.find('[data-do="train"]');
  view.running = true;
  button.textContent = "Pause";
  while (view.running) {
    const picture = await attempt(() => view.ask("train", { ms: SLICE, ...fields() }));
    if (!picture) break;
    show(picture);
    await new Promise(requestAnimationFrame); // a hidden tab has no frames, and so does not train
  }
  view.running = false;
  button.textContent = "Train";
}

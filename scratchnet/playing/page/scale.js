// From numbers to colours that people with any colour vision can tell apart.

const rgb = (name) => {
  const hex = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
};

let colours;
const read = () => { colours = { paper: rgb("--paper"), blue: rgb("--blue"), orange: rgb("--orange") }; };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  read();
  document.dispatchEvent(new Event("colours"));
});

/** Blue below 0, paper at 0, orange above 0; ±largest has the full colour. */
export function signed(value, largest) {
  if (!colours) read();
  const share = largest ? Math.min(1, Math.abs(value) / largest) : 0;
  const end = value < 0 ? colours.blue : colours.orange;
  return colours.paper.map((from, k) => Math.round(from + (end[k] - from) * share));
}

/** Black at 0, white at 255: pixels of a drawing. */
export const ink = (value) => [value, value, value];

/** The largest absolute value of a list, which may hold nulls for what is not finite. */
export const largestOf = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v ?? 0)), 0);

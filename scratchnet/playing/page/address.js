// The situation on the page as the part of its address after #, so that it can be passed on.

const SIZE = 784;

export const situation = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

let timer;
/** Put this situation into the address; fields that are null or "" are left out. */
export function keep(fields) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const said = Object.entries(fields).filter(([, value]) => value != null && value !== "");
    history.replaceState(null, "", `${location.pathname}${location.search}#${new URLSearchParams(said)}`);
  }, 150);
}

/** 784 pixels as text: 16 shades, two pixels in a byte, in the letters that addresses may hold. */
export function packed(pixels) {
  if (!pixels.some((v) => v > 0)) return "";
  const shade = (v) => Math.round((v / 255) * 15);
  let bytes = "";
  for (let k = 0; k < SIZE; k += 2) bytes += String.fromCharCode(16 * shade(pixels[k]) + shade(pixels[k + 1]));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The pixels of such a text; null if it is none. */
export function unpacked(text) {
  try {
    const bytes = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    if (bytes.length !== SIZE / 2) return null;
    return Array.from({ length: SIZE }, (_, k) => {
      const byte = bytes.charCodeAt(k >> 1);
      return 17 * (k % 2 ? byte % 16 : byte >> 4);
    });
  } catch { return null; }
}

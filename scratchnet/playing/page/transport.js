// Messages to the engine, and its answers. Nothing else on this page speaks to the server.

const token = new URLSearchParams(location.search).get("token") ?? "";
let session = null;

async function post(path, message) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Token": token },
    body: JSON.stringify(message),
  });
  const text = await response.text();
  if (!response.headers.get("Content-Type")?.startsWith("application/json")) throw new Error(text.trim());
  const answer = JSON.parse(text);
  if (answer.error) throw new Error(answer.error);
  return answer;
}

/** Begin a session of this tab's own; it ends with the tab. */
export async function open() {
  ({ session } = await post("/open", {}));
  addEventListener("pagehide", () => {
    fetch("/close", { method: "POST", headers: { "X-Token": token }, body: JSON.stringify({ session }), keepalive: true });
  });
}

/** The engine's answer to one message, such as ask("digits", "step", {}). */
export const ask = (view, action, fields = {}) => post("/ask", { session, view, do: action, ...fields });

/** A function like f that makes one call at a time, and of those that wait only the latest. */
export function latest(f) {
  let busy = false, waiting = null;
  return async function call(...args) {
    if (busy) { waiting = args; return; }
    busy = true;
    try { await f(...args); } finally {
      busy = false;
      if (waiting) { const next = waiting; waiting = null; call(...next); }
    }
  };
}

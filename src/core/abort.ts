/**
 * Many who wait for one signal. EventTarget looks through all listeners for each one that comes or goes, which is the larger part of
 * a request's cost once some hundred wait: here the signal has one listener, and those who wait are a set beside it.
 */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `leave` once when the signal fires, unless the answer was called before. `leave` throws nothing. A signal that has fired
 * already calls nobody: ask it first.
 */
export function onAbort(signal: AbortSignal, leave: () => void): () => void {
  const known = waiting.get(signal);
  const all = known ?? new Set();
  if (!known) {
    waiting.set(signal, all);
    signal.addEventListener("abort", () => callAll(all), { once: true });
  }
  // The same function may wait twice.
  const one = () => leave();
  all.add(one);
  return () => void all.delete(one);
}

function callAll(all: Set<() => void>): void {
  for (const leave of Array.from(all)) if (all.delete(leave)) leave();
}

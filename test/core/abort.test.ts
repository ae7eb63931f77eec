import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { onAbort } from "../../src/core/abort.ts";

describe("those who wait for a signal", () => {
  it("are called once, in their order, but for those who have left", () => {
    const { signal, abort } = controlled();
    const called: number[] = [];
    const note = (n: number) => () => void called.push(n);
    const leave = [1, 2, 3].map((n) => onAbort(signal, note(n)));
    leave[1]?.();
    abort();
    abort();
    expect(called).toEqual([1, 3]);
    leave[0]?.();
  });

  it("may send each other away, or come while the others are called", () => {
    const { signal, abort } = controlled();
    const called: string[] = [];
    onAbort(signal, () => {
      called.push("first");
      away();
      onAbort(signal, () => called.push("late"));
    });
    const away = onAbort(signal, () => called.push("second"));
    abort();
    expect(called).toEqual(["first"]);
  });

  it("are one listener of the signal, however many they are and however often they come and go", () => {
    const { signal } = controlled();
    for (let n = 0; n < 1000; n++) onAbort(signal, () => undefined)();
    const same = () => undefined;
    onAbort(signal, same);
    onAbort(signal, same)();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
  });
});

function controlled() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

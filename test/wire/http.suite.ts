/**
 * The laws that every client of http.ts keeps. Where one cannot keep a law, the call names that law and the reason; a name that is
 * no law fails, and so does a law that is kept after all.
 */
import { describe, expect, it } from "vitest";
import type { HttpKind } from "../../src/wire/http.ts";
import { bodyLaws } from "./laws/bodies.ts";
import { connectionLaws } from "./laws/connections.ts";
import { framingLaws } from "./laws/framing.ts";
import { type Law, World } from "./laws/world.ts";

const LAWS: readonly Law[] = [...framingLaws, ...connectionLaws, ...bodyLaws];

export function httpSuite(kind: HttpKind, skip: Readonly<Record<string, string>> = {}): void {
  describe(`${kind} keeps the laws of HTTP clients`, () => {
    it("skips only laws that exist, with a reason", () => {
      const names = new Set(LAWS.map((law) => law.name));
      expect(names.size).toBe(LAWS.length);
      for (const [law, reason] of Object.entries(skip)) {
        expect(names, `no such law: ${law}`).toContain(law);
        expect(reason).not.toBe("");
      }
    });

    for (const law of LAWS) {
      const keeps = async () => {
        const world = new World(kind);
        try {
          await law.run(world);
        } finally {
          await world.close();
        }
      };
      // What is kept by chance is neither kept nor broken.
      if (skip[law.name]?.startsWith("sometimes")) it.skip(`${law.name} (${skip[law.name]})`, () => undefined);
      else if (skip[law.name] === undefined) it(law.name, { timeout: 20_000 }, keeps);
      else it.fails(`${law.name} (not kept: ${skip[law.name]})`, { timeout: 3000 }, keeps);
    }
  });
}

/** How a class of losses is tested: each scenario once on the program as it is, and once for each guard without that guard. */
import { describe, expect, it } from "vitest";
import { buildWithout, type Change } from "./controls.ts";

/** What was lost or told wrongly, a line each; empty where nothing was. Given a build, the program is that one. */
export type Scenario = (build: URL | undefined) => Promise<string[]>;

export interface Control {
  /** The guards that are taken out: more than one where the loss taken past the first is caught by the next. */
  readonly without: string;
  readonly changes: readonly Change[];
  /** The finding that must then come. */
  readonly reports: RegExp;
}

export interface Case {
  readonly it: string;
  readonly scenario: Scenario;
  readonly controls: readonly Control[];
}

/** Without the guard the loss has to come, and where two requests race for it that need not be at once. */
const RUNS_MAX = 3;

async function told(scenario: Scenario, build: URL, reports: RegExp): Promise<string> {
  for (let run = 1; ; run++) {
    const report = (await scenario(build)).join("\n");
    if (run === RUNS_MAX || reports.test(report)) return report;
  }
}

export function lossClass(number: number, loss: string, cases: readonly Case[]): void {
  describe(`class ${number}: ${loss}`, { timeout: 300_000 }, () => {
    for (const one of cases) {
      it(`holds: ${one.it}`, async () => expect(await one.scenario(undefined)).toEqual([]));
      for (const control of one.controls) {
        it(`control: ${one.it}, without ${control.without}`, async () => {
          const build = await buildWithout(control.changes);
          try {
            expect(await told(one.scenario, build.url, control.reports)).toMatch(control.reports);
          } finally {
            await build.remove();
          }
        });
      }
    }
  });
}

/** What is weak about an object that arrives all the same: a rewrap cannot improve a body. Counted in the plan and in the report. */

export const ADVISORIES = {
  cbc: "AES-CBC body: no integrity, open to padding oracles until it is sealed anew",
  uncommitted:
    "no key commitment: whoever writes both could make one body open to two plaintexts; some readers refuse it",
  unbound: "the content algorithm is not bound to the data key: whoever can write the bucket could relabel the body",
} as const;

export type Advisory = keyof typeof ADVISORIES;
export type AdvisoryCounts = Partial<Record<Advisory, number>>;

export const ALL_ADVISORIES = Object.keys(ADVISORIES) as Advisory[];

/** Adds `sign` times one to the other. Counts of zero are absent. */
export function addAdvisories(into: AdvisoryCounts, from: AdvisoryCounts | undefined, sign: 1 | -1 = 1): void {
  for (const advisory of ALL_ADVISORIES) {
    const change = from?.[advisory];
    if (change === undefined) continue;
    const sum = (into[advisory] ?? 0) + sign * change;
    if (sum === 0) delete into[advisory];
    else into[advisory] = sum;
  }
}

/** One of each. */
export const countOnce = (advisories: readonly Advisory[] | undefined): AdvisoryCounts =>
  Object.fromEntries((advisories ?? []).map((advisory) => [advisory, 1]));

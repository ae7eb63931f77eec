/** What a worker of the bench is given in place of real shores, and everything by which it is told so. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ENVELOPES } from "../../../src/compose/envelopes.ts";
import { rulesOf } from "../../../src/compose/work.ts";
import { parseJob } from "../../../src/config/job.ts";
import type { Job } from "../../../src/core/job.ts";
import { type KeyUri, keyUri } from "../../../src/core/key.ts";
import { withWrapped } from "../../../src/envelope/envelope.ts";
import { s3ecV3 } from "../../../src/envelope/s3ec/v3.ts";
import { createLocalKey, openLocalKms } from "../../../src/kms/local.ts";
import type { PlanRecord } from "../../../src/ledger/ledger.ts";
import type { OpenWork } from "../../../src/pipeline/context.ts";
import { ForgetfulDestination, SyntheticSource } from "./synthetic.ts";

const OLD = keyUri("local://old");
const NEW = keyUri("local://new");

/** Plain data: it travels to the workers in their environment. */
export interface Setting {
  readonly directory: string;
  readonly objects: number;
  /** One object in so many is sealed and rewrapped, the others are carried. */
  readonly sealedEvery: number;
  /** The envelope that the sealed ones share. */
  readonly envelope: Record<string, string>;
}

const keysIn = (directory: string): string => join(directory, "keys");

export async function prepare(directory: string, objects: number, sealedEvery: number): Promise<Setting> {
  const keys = keysIn(directory);
  await mkdir(keys, { recursive: true, mode: 0o700 });
  for (const name of ["old", "new"]) await createLocalKey(keys, name);
  return { directory, objects, sealedEvery, envelope: await envelopeUnder(OLD, keys) };
}

async function envelopeUnder(key: KeyUri, keys: string): Promise<Record<string, string>> {
  const { signal } = new AbortController();
  const { seal, dataKey } = s3ecV3.fresh(new Map([["tenant", "bench"]]), key);
  const wrapped = await openLocalKms({ directory: keys }).wrap(key, dataKey, seal.context, signal);
  dataKey.wipe();
  return Object.fromEntries(s3ecV3.write(withWrapped(seal, wrapped)).metadata);
}

/** Valid as any job is; its URLs are never opened. */
export function jobOf({ directory }: Setting): Job {
  const job = {
    apiVersion: "sealift/v1",
    kind: "Migration",
    name: "simulation",
    source: { url: "s3://synthetic-source" },
    destination: { url: "gs://synthetic-destination" },
    keys: { wrapWith: NEW, allow: [OLD], localDirectory: keysIn(directory) },
    options: { fallback: "copy" },
  };
  return parseJob(JSON.stringify(job), "the simulation's job");
}

export function openSynthetic(setting: Setting): OpenWork {
  return async (plan: PlanRecord) => {
    const job = jobOf(setting);
    const kms = openLocalKms({ directory: keysIn(setting.directory) });
    return {
      plan,
      shores: {
        source: new SyntheticSource({ ...setting, envelope: new Map(Object.entries(setting.envelope)) }),
        destination: new ForgetfulDestination(),
        sourcePrefix: "",
        destinationPrefix: "",
        sourceKms: [kms],
        destinationKms: [kms],
        envelopes: ENVELOPES,
        close: async () => undefined,
      },
      rules: rulesOf(job, plan.mid, Date.parse(plan.createdAt)),
      pageObjects: job.options.pageObjects,
    };
  };
}

/**
 * One small case on a real server, for honesty: Ceph's S3 gateway is source and destination, only the KMS is lean. The gateway costs more
 * than whoever speaks to it, so that this shows that the work is real work, and not what it costs at its best.
 */
import { copyFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { HttpClient } from "../../../src/wire/http.ts";
import { sha256Hex, signRequest } from "../../../src/wire/sigv4.ts";
import { rgwMissing, type Rgw, startRgw } from "../../real/rgw.ts";
import type { CaseResult } from "./figures.ts";
import { type Command, measure } from "./measure.ts";
import { type Peer, RCLONE_TUNED, rclone } from "./peers.ts";
import { openSome } from "./proof.ts";
import type { Measured, Sample } from "./runner.ts";
import { say } from "./say.ts";
import type { Dataset } from "./seed.ts";
import { type Places, sealift, type Task } from "./tasks.ts";
import { type World, writeCredentials } from "./world.ts";

const DATASET: Dataset = { name: "rgw-source", count: 2000, sizeBytes: 16 * 1024, sealed: true };

/** What has to end with the benchmark, however that ends. */
export interface Closing {
  close(): Promise<void>;
}

/** undefined, with a word on stderr, where there is no gateway or no rclone to fill it. */
export async function measureReal(
  world: World,
  peers: readonly Peer[],
  rounds: number,
  opened: Set<Closing>,
): Promise<CaseResult | undefined> {
  const binary = peers.find(({ name }) => name === "rclone")?.binary;
  const missing = binary === undefined ? "rclone, which fills its buckets" : await rgwMissing();
  if (binary === undefined || missing !== undefined) {
    say(`rgw: left out: ${missing}`);
    return undefined;
  }
  await bringScripts();
  const rgw = await startRgw();
  opened.add(rgw);
  try {
    const onRgw = await worldOn(world, rgw);
    await world.source.seed(DATASET);
    await makeBucket(onRgw, DATASET.name);
    const filling = { world: { ...onRgw, source: world.source }, dataset: DATASET, bucket: DATASET.name };
    await measure(rclone(filling, binary, "s3", RCLONE_TUNED));
    const measured = await turns(onRgw, binary, rounds);
    return { name: "rgw", title: "2,000 objects of 16 KiB on Ceph's gateway", measured };
  } finally {
    opened.delete(rgw);
    await rgw.close();
  }
}

/** The compiler leaves them behind. */
async function bringScripts(): Promise<void> {
  for (const name of ["rgw-up.sh", "rgw-down.sh"]) {
    await copyFile(`test/real/${name}`, fileURLToPath(new URL(`../../real/${name}`, import.meta.url)));
  }
}

async function turns(world: Places, binary: string, rounds: number): Promise<Measured[]> {
  const commands: Record<string, (task: Task) => Command | Promise<Command>> = {
    rewrap: (task) => sealift(task, { route: "s3" }),
    rclone: (task) => rclone(task, binary, "s3", RCLONE_TUNED),
  };
  const measured = Object.keys(commands).map(
    (contender): Measured => ({ contender, dataset: DATASET, samples: [], startUp: [] }),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { contender, samples } of measured) {
      const bucket = `rgw-${contender}-${round}`;
      await makeBucket(world, bucket);
      const task = { world, dataset: DATASET, bucket };
      const cost = await measure(await (commands[contender] as (task: Task) => Command | Promise<Command>)(task));
      const checked = contender === "rewrap" ? await openSome(task, "s3", 1) : 0;
      samples.push(sampleOf(cost, checked));
      say(`  ${contender.padEnd(16)} ${cost.cpuSeconds.toFixed(2)} s CPU, ${cost.wallSeconds.toFixed(2)} s`);
    }
  }
  return measured;
}

async function worldOn(world: World, { url, credentials: keys }: Rgw): Promise<Places> {
  const credentials = await writeCredentials(world.directory, "rgw", keys);
  return { ...world, source: { url }, destination: { url }, credentials, keys };
}

async function makeBucket({ source: { url }, keys }: Places, name: string): Promise<void> {
  const client = new HttpClient({ origin: url });
  const path = `/${name}`;
  const about = { method: "PUT", path, headers: { host: new URL(url).host, "content-length": "0" } };
  const how = { payloadHash: sha256Hex(""), credentials: keys, region: "us-east-1", service: "s3", now: new Date() };
  const signal = AbortSignal.timeout(30_000);
  const answer = await client.send({ method: "PUT", path, headers: signRequest({ ...about, ...how }), signal });
  const text = await answer.text();
  await client.close();
  if (answer.status !== 200) throw new Error(`no bucket ${name} on the gateway: ${answer.status} ${text}`);
}

/** What the gateway was asked it does not tell. */
const sampleOf = (
  { cpuSeconds, wallSeconds, peakRssBytes }: Pick<Sample, "cpuSeconds" | "wallSeconds" | "peakRssBytes">,
  checked: number,
): Sample => ({
  cpuSeconds,
  wallSeconds,
  peakRssBytes,
  redisCpuSeconds: 0,
  cloudCpuSeconds: 0,
  requests: {},
  sentBytes: 0,
  receivedBytes: 0,
  checked,
  opened: checked,
});

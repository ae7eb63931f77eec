/** The benchmark's own instruments: what it seeds can be opened, what is damaged is found, what a tree of processes costs is counted. */
import { randomBytes } from "node:crypto";
import type { Server } from "node:net";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crc32cText } from "../../../src/core/crc32c.ts";
import { seal as wrapKey } from "../../../src/pocket/awskms/keys.ts";
import { open } from "../../../src/reader.ts";
import { awsKms } from "./lean/awskms.ts";
import { SeededBucket, type Stored, WrittenBucket } from "./lean/buckets.ts";
import { checkArrived } from "./lean/check.ts";
import { Counts } from "./lean/counts.ts";
import { LeanGcs } from "./lean/gcs.ts";
import { LeanS3 } from "./lean/s3.ts";
import { listen } from "./lean/wire.ts";
import { measure } from "./measure.ts";
import { type Dataset, DESTINATION_KEY, keyOf, Seed } from "./seed.ts";

const seed = new Seed({ secret: randomBytes(32).toString("hex") });
const sets: Dataset[] = [
  { name: "small", count: 3, sizeBytes: 1000, sealed: true },
  { name: "large", count: 2, sizeBytes: 700_001, sealed: true },
  { name: "plain", count: 2, sizeBytes: 1000, sealed: false },
];
const [small] = sets as [Dataset];
const servers: Server[] = [];
let s3Url = "";
let kmsUrl = "";

beforeAll(async () => {
  const s3 = new LeanS3(new Counts());
  for (const dataset of sets) s3.buckets.set(dataset.name, new SeededBucket(seed, dataset));
  const [store, kms] = [await listen(s3.handler), await listen(awsKms(seed.ring, new Counts()))];
  servers.push(store.server, kms.server);
  [s3Url, kmsUrl] = [`http://127.0.0.1:${store.port}`, `http://127.0.0.1:${kms.port}`];
});
afterAll(() => servers.forEach((server) => server.close()));

describe("what is seeded", () => {
  it.each(sets)("is opened as any object of its kind: $name", async (dataset) => {
    process.env["BENCH_TEST_SECRET"] = "any";
    const credentials = { accessKeyId: "env:BENCH_TEST_SECRET", secretAccessKey: "env:BENCH_TEST_SECRET" };
    const access = { region: "us-east-1", credentials };
    const kms = { endpoint: kmsUrl, ...access };
    for (let n = 0; n < dataset.count; n++) {
      const chunks: Buffer[] = [];
      const text = await open(`s3://${dataset.name}/${keyOf(n)}`, { endpoint: s3Url, ...access, kms });
      for await (const chunk of text) chunks.push(chunk as Buffer);
      const plaintext = Buffer.concat(chunks);
      expect(plaintext.length).toBe(dataset.sizeBytes);
      // Of large objects the stored bytes are the computed ones: that they open at all proves their tag.
      if (dataset.name !== "large") expect(plaintext.equals(seed.plaintext(n, dataset.sizeBytes))).toBe(true);
    }
  });
});

/** As a faultless rewrap would leave it. */
function arrived(): { bucket: WrittenBucket; crcs: number[] } {
  const source = new SeededBucket(seed, small);
  const bucket = new WrittenBucket();
  for (let n = 0; n < small.count; n++) {
    const stood = source.get(keyOf(n)) as Stored;
    const context = new Map(
      Object.entries(JSON.parse(stood.metadata.get("x-amz-matdesc") ?? "") as Record<string, string>),
    );
    const wrapped = wrapKey(seed.ring.byArn(DESTINATION_KEY), seed.dataKey(n), context).toString("base64");
    bucket.put(keyOf(n), { ...stood, metadata: new Map([...stood.metadata, ["x-amz-key-v2", wrapped]]) });
  }
  return { bucket, crcs: source.contents.map(({ crc32c }) => crc32c) };
}

describe("the check of what arrived", () => {
  const check = ({ bucket, crcs }: ReturnType<typeof arrived>) =>
    checkArrived(seed, bucket, { dataset: small, crcs, how: "rewrapped" });
  const harmed = (harm: (object: Stored, bucket: WrittenBucket) => Partial<Stored> | undefined) => {
    const state = arrived();
    const stood = state.bucket.get(keyOf(1)) as Stored;
    const change = harm(stood, state.bucket);
    if (change) state.bucket.put(keyOf(1), { ...stood, ...change });
    return () => check(state);
  };

  it("is content with what a rewrap leaves", () => {
    expect(check(arrived())).toEqual({ objects: 3, opened: 3 });
  });
  it("finds every harm", () => {
    const other = (name: string) => (object: Stored, bucket: WrittenBucket) => ({
      metadata: new Map([...object.metadata, [name, bucket.get(keyOf(0))?.metadata.get(name) ?? ""]]),
    });
    const flipped = (object: Stored) => {
      const body = Buffer.from(object.read?.(0, object.sizeBytes).next().value as Buffer);
      body[7] = (body[7] ?? 0) ^ 1;
      return { crc32c: undefined, read: () => [body].values() };
    };
    expect(harmed((_, bucket) => void bucket.remove(keyOf(1)))).toThrow("2 objects");
    expect(harmed(({ sizeBytes }) => ({ sizeBytes: sizeBytes - 1 }))).toThrow("bytes instead of");
    expect(harmed(flipped)).toThrow("its bytes are others");
    expect(harmed(other("x-amz-key-v2"))).toThrow("another data key");
    expect(harmed(() => ({ metadata: new Map() }))).toThrow("does not open");
    expect(harmed(() => ({ metadata: new SeededBucket(seed, small).get(keyOf(1))?.metadata ?? new Map() }))).toThrow(
      "does not open",
    );
  });
});

describe("the lean wire", () => {
  it("reads requests whole and byte by byte, counted and chunked, and answers in turn", async () => {
    const gcs = new LeanGcs(new Counts(), () => "");
    const { server, port } = await listen(gcs.handler);
    servers.push(server);
    const related =
      '--b\r\nContent-Type: application/json\r\n\r\n{"name":"k","metadata":{"a":"1"}}\r\n--b\r\nContent-Type: x/y\r\n\r\nhello\r\n--b--\r\n';
    const to =
      "POST /upload/storage/v1/b/bucket/o?uploadType=multipart HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/related; boundary=b\r\n";
    const counted = `${to}Content-Length: ${related.length}\r\n\r\n${related}`;
    const halves = [related.slice(0, 60), related.slice(60)].map(
      (half) => `${half.length.toString(16)}\r\n${half}\r\n`,
    );
    const chunked = `${to}Transfer-Encoding: chunked\r\n\r\n${halves.join("")}0\r\n\r\n`;
    for (const step of [1, 7, 10_000]) {
      const answers = await exchange(port, counted + chunked, step);
      expect(answers.match(/HTTP\/1.1 200 OK/g)).toHaveLength(2);
      expect(answers.match(/"size":"5"/g)).toHaveLength(2);
      expect(answers).toContain(crc32cText(0x9a71bb4c));
    }
  });
});

function exchange(port: number, text: string, step: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let answers = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.setNoDelay(true);
      const send = (at: number) => {
        if (at < text.length) socket.write(text.slice(at, at + step), () => send(at + step));
      };
      send(0);
    });
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      answers += chunk;
      if ((answers.match(/\}\}/g) ?? []).length >= 2) socket.end(() => resolve(answers));
    });
    socket.once("error", reject);
  });
}

describe("what a program costs", () => {
  it("is the processor time of its children too, and the memory of the largest", async () => {
    const burn =
      "const end = Date.now() + 1e9; let cpu = () => process.cpuUsage().user; while (cpu() < 600000 && Date.now() < end);";
    const hold = "globalThis.held = Buffer.alloc(150 * 2 ** 20, 1);";
    const child = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(hold + burn)}])`;
    const { cpuSeconds, peakRssBytes, stdout } = await measure({
      argv: [process.execPath, "-e", `${child}; console.log("said")`],
    });
    expect(stdout).toBe("said\n");
    expect(cpuSeconds).toBeGreaterThan(0.6);
    expect(cpuSeconds).toBeLessThan(5);
    expect(peakRssBytes).toBeGreaterThan(150 * 2 ** 20);
  });

  it("is not told of a program that fails", async () => {
    await expect(measure({ argv: ["sh", "-c", "echo why >&2; exit 3"] })).rejects.toThrow(/ended with 3:\nwhy/);
  });
});

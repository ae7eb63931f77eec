import { randomBytes } from "node:crypto";
import { CUT_SOURCE, PASSAGE, S3_LENGTH } from "./guards.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { type Expectations, findings } from "./oracle.ts";
import { aboutFar, getNear, putFar } from "./requests.ts";
import { inWorld } from "./world.ts";

const ALWAYS = { times: Number.POSITIVE_INFINITY };
const failed = (code: "STORE_CUT" | "PROVIDER_ERROR") => ({ outcome: "failed", code }) as const;

/** Every way for an upload to fail, over objects that stand at the destination and were to be replaced. */
const overGood =
  (far: "gcs" | "s3", large: boolean): Scenario =>
  (build) =>
    inWorld({ build, far, options: { overwrite: true } }, async (world) => {
      const { s3 } = world.clouds;
      const cloud = far === "s3" ? s3 : world.gcs;
      for (const key of ["cut", "refused"]) {
        await world.place(key);
        await world.stand(key);
      }
      s3.faults.add({ match: getNear("cut"), cutBodyAt: 100, ...ALWAYS });
      cloud.faults.add({ match: putFar("refused"), answer: { status: 502, afterBytes: 100 }, ...ALWAYS });
      const expected: Record<string, Expectations[string]> = {
        cut: failed("STORE_CUT"),
        refused: failed("PROVIDER_ERROR"),
      };
      if (large) {
        const { body } = await world.place("large", { plaintext: randomBytes(65 * 1024 * 1024) });
        await world.stand("large");
        s3.faults.add({ match: getNear("large"), cutBodyAt: body.length - 1, times: 1 });
        // The second try gets as far as its last request.
        const last = (request: Parameters<ReturnType<typeof aboutFar>>[0]) =>
          aboutFar("large")(request) &&
          (request.method === "POST" ? request.query.has("uploadId") : /-\d+\/\d+$/.test(contentRange(request)));
        cloud.faults.add({ match: (request) => last(request) && isLast(request), answer: { status: 500 }, ...ALWAYS });
        expected["large"] = failed("PROVIDER_ERROR");
      }
      return findings(world, await world.migrate(), expected);
    });

type Request = Parameters<ReturnType<typeof aboutFar>>[0];
const contentRange = ({ headers }: Request): string => String(headers["content-range"] ?? "");

/** Complete, or the chunk that ends where the object does. */
function isLast(request: Request): boolean {
  const [, end, total] = /-(\d+)\/(\d+)$/.exec(contentRange(request)) ?? [];
  return request.method === "POST" || Number(end) + 1 === Number(total);
}

/** Only the large object, cut at its last byte, every time. */
const largeCut: Scenario = (build) =>
  inWorld({ build, far: "s3", options: { overwrite: true }, retry: { attempts: 1 } }, async (world) => {
    const { body } = await world.place("large", { plaintext: randomBytes(65 * 1024 * 1024), writer: null });
    await world.stand("large");
    world.clouds.s3.faults.add({ match: getNear("large"), cutBodyAt: body.length - 1, ...ALWAYS });
    return findings(world, await world.migrate(), { large: failed("STORE_CUT") });
  });

lossClass(4, "abort finalises a partial over a good object", [
  {
    it: "uploads to S3 that fail over standing objects",
    scenario: (build) => overGood("s3", build === undefined)(build),
    controls: [
      {
        without: "the lengths held at the source, on the way and at the destination",
        changes: [...CUT_SOURCE, PASSAGE, ...S3_LENGTH],
        reports: /^cut: rewrapped, where it should have been failed$/m,
      },
    ],
  },
  { it: "uploads to Cloud Storage that fail over standing objects", scenario: overGood("gcs", true), controls: [] },
  {
    it: "an upload in parts that is cut",
    scenario: largeCut,
    controls: [
      {
        without: "the abort in place of Complete, and what Complete says of the whole",
        changes: [
          { module: "store/s3/writing", find: "await multipart.abort();", replace: "await multipart.complete(0);" },
          { module: "store/s3/upload", find: `"x-amz-checksum-crc32c": crc32cText(crc32c),`, replace: "" },
          { module: "store/s3/upload", find: `"x-amz-mp-object-size": String(sizeBytes),`, replace: "" },
        ],
        reports: /^large: failed STORE_CUT, and what stood at the destination was replaced$/m,
      },
    ],
  },
]);

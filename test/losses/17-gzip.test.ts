import { gzipSync } from "node:zlib";
import { HttpClient } from "../../src/wire/http.ts";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { inWorld, type LossWorld } from "./world.ts";

const GZIP = { "content-encoding": "gzip" };
const text = Buffer.from("all work and no play makes jack a dull boy\n".repeat(50));

/** As a client reads that takes no gzip: Cloud Storage then unpacks what is labelled so. */
async function readPlainly(world: LossWorld, key: string): Promise<Buffer | undefined> {
  const http = new HttpClient({ origin: world.gcs.url });
  try {
    const path = `/storage/v1/b/far/o/${encodeURIComponent(key)}?alt=media`;
    const response = await http.send({ method: "GET", path, headers: {}, signal });
    return response.status === 200 ? await response.bytes() : undefined;
  } catch {
    return undefined;
  } finally {
    await http.close();
  }
}

/** The label describes what a client sealed, not what is stored: at the destination it must not make anybody unpack ciphertext. */
const toGcs: Scenario = (build) =>
  inWorld({ build, options: { fallback: "copy" } }, async (world) => {
    const sealed = await world.place("sealed", { plaintext: gzipSync(text), headers: GZIP });
    await world.place("packed", { plaintext: gzipSync(text), writer: null, headers: GZIP });
    await world.place("bare", { plaintext: text, writer: null });
    const found = await findings(world, await world.migrate());
    if (!(await readPlainly(world, "sealed"))?.equals(sealed.body))
      found.push("sealed: an ordinary client does not read the stored bytes");
    if (!(await readPlainly(world, "packed"))?.equals(text))
      found.push("packed: an ordinary client does not read the text");
    return found;
  });

const fromGcs: Scenario = (build) =>
  inWorld({ build, near: "gcs", far: "s3", options: { fallback: "copy" } }, async (world) => {
    await world.place("packed", { plaintext: gzipSync(text), writer: null, headers: GZIP });
    await world.place("bare", { plaintext: text, writer: null });
    await world.place("sealed");
    const found = await findings(world, await world.migrate());
    const head = await world.destination.head("packed", signal);
    if (head?.attributes.contentEncoding !== "gzip") found.push("packed: nothing says that it is packed");
    return found;
  });

lossClass(17, "transparent gzip", [
  {
    it: "labelled objects to Cloud Storage",
    scenario: toGcs,
    controls: [
      {
        without: "the label kept as metadata on ciphertext",
        changes: [{ module: "transfer/attributes", find: "return unsafe ?", replace: "return false ?" }],
        reports: /^sealed: an ordinary client does not read the stored bytes$/m,
      },
    ],
  },
  {
    it: "labelled objects from Cloud Storage",
    scenario: fromGcs,
    controls: [
      {
        without: "the asking for packed bytes: the length tells, and the object fails",
        changes: [{ module: "store/gcs/read", find: `{ "accept-encoding": "gzip" }`, replace: "{}" }],
        reports: /^packed: failed \w+, where it should have been/m,
      },
      {
        without: "the label carried over",
        changes: [{ module: "transfer/attributes", find: "{ asHeader: encoding }", replace: "{}" }],
        reports: /^packed: nothing says that it is packed$/m,
      },
    ],
  },
]);

/** The store's own listing, read to its end. */
import { openStore } from "../../../../src/compose.ts";
import { asked } from "./asked.ts";

// Secrets stand in settings by reference only.
const credentials = { accessKeyId: "env:BENCH_ACCESS_KEY", secretAccessKey: "env:BENCH_SECRET_KEY" };
const shore = { url: `s3://${asked.from}/`, endpoint: asked.source, region: "us-east-1", credentials };
const { store } = await openStore(shore);
let listed = 0;
for await (const { objects } of store.list("", {}, new AbortController().signal)) listed += objects.length;
if (listed !== asked.count) throw new Error(`${listed} keys were listed, ${asked.count} are there`);
await store.close();
process.exit(0);

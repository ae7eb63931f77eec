import type { PocketAnswer } from "../../src/pocket/harm.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { listPage } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

type Lie = (xml: string) => string;

const GOES_ON = "<IsTruncated>true</IsTruncated>";
const ENDS = "<IsTruncated>false</IsTruncated>";
const TOKEN = /<NextContinuationToken>[^<]*<\/NextContinuationToken>/;
const ended: Lie = (xml) => xml.replace(TOKEN, "").replace(GOES_ON, ENDS);

/** What the second page of a shard says, once, that is not so. */
const LIES: Readonly<Record<string, Lie>> = {
  a: (xml) => xml.replace(GOES_ON, ENDS),
  b: (xml) => xml.replace(TOKEN, ""),
  c: (xml) => xml.replace(GOES_ON, ""),
  d: (xml) => xml.replace(/<Contents>(?:(?!<Contents>).)*<\/Contents>(?=<\/ListBucketResult>)/s, ""),
  e: (xml) =>
    xml.replace(TOKEN, `<NextContinuationToken>${Buffer.from("ke/2").toString("base64url")}</NextContinuationToken>`),
};

const edited =
  (lie: Lie) =>
  (answer: PocketAnswer): PocketAnswer => ({ ...answer, body: Buffer.from(lie(answer.body.toString())) });

async function placeSix(world: LossWorld, shards: readonly string[]): Promise<void> {
  for (const shard of shards) for (const n of [1, 2, 3, 4, 5, 6]) await world.place(`${shard}/${n}`, { writer: null });
}

/** The last shard's first page comes a second time, as if it were the last. */
function repeatFirstPage({ clouds }: LossWorld, shard: string): void {
  let first = "";
  clouds.s3.faults.add({
    match: ({ query }) => query.get("start-after") === `${shard}/`,
    change: (answer) => {
      first = answer.body.toString();
      return answer;
    },
  });
  clouds.s3.faults.add({ match: listPage(`${shard}/`), change: edited(() => ended(first)) });
}

const liars: Scenario = (build) => {
  const shards = [...Object.keys(LIES), "f"];
  const shardPrefixes = shards.slice(1).map((shard) => `${shard}/`);
  const options = { pageObjects: 100, shardPrefixes, fallback: "copy" };
  return inWorld({ build, s3: { rowsMax: 2 }, options }, async (world) => {
    await placeSix(world, shards);
    for (const [shard, lie] of Object.entries(LIES))
      world.clouds.s3.faults.add({ match: listPage(`${shard}/`), change: edited(lie) });
    repeatFirstPage(world, "f");
    return findings(world, await world.migrate());
  });
};

/** A page that ends early and is whole in itself cannot be told from the end. `verify` lists again. */
const consistentLie: Scenario = (build) =>
  inWorld({ build, s3: { rowsMax: 2 }, options: { fallback: "copy" } }, async (world) => {
    await placeSix(world, ["a"]);
    world.clouds.s3.faults.add({ match: listPage("a/"), change: edited(ended) });
    const mid = await world.migrate();
    const { result } = await world.status(mid);
    const verified = await world.sealift(["verify", await world.jobFile(), "--json"]);
    const { missing, objects } = JSON.parse(verified.stdout || "{}") as { missing?: number; objects?: number };
    const found: string[] = [];
    if (result?.listed !== 4) found.push(`the lie was seen: ${result?.listed} objects listed`);
    if (verified.code !== 6) found.push(`verify ended with ${verified.code}`);
    if (missing !== 2 || objects !== 6) found.push(`verify found ${missing} of ${objects} missing`);
    return found;
  });

lossClass(7, "listing ends early without error", [
  {
    it: "pages that lie about whether there is more, or about what they hold",
    scenario: liars,
    controls: [
      {
        without: "the refusal of a page that ends and names a token",
        changes: [
          {
            module: "store/s3/listing",
            find: `throw unreadable("it ends, and names a token to go on with");`,
            replace: "return { objects: [], nextToken: undefined };",
          },
        ],
        reports: /^a\/6: never handled$/m,
      },
      {
        without: "the refusal of a page that goes on and names no token",
        changes: [
          {
            module: "store/s3/listing",
            find: `throw unreadable("it goes on, and names no token");`,
            replace: ";",
          },
        ],
        reports: /^b\/6: never handled$/m,
      },
      {
        without: "the refusal of a page that does not say whether it goes on",
        changes: [
          { module: "store/s3/listing", find: `throw unreadable("IsTruncated is missing");`, replace: ";" },
          // It named a token as well, which would have been followed.
          {
            module: "store/s3/listing",
            find: "return { objects, nextToken };",
            replace: `return { objects, nextToken: truncated === "true" ? nextToken : undefined };`,
          },
        ],
        reports: /^c\/6: never handled$/m,
      },
      {
        without: "the count of the rows",
        changes: [
          {
            module: "store/s3/listing",
            find: "stated !== undefined && Number(stated) !== objects.length",
            replace: "false",
          },
        ],
        reports: /^d\/4: never handled$/m,
      },
      {
        without: "the order of the keys, in the listing and in the audit",
        changes: [
          {
            module: "store/s3/listing",
            find: "checkOrder(connection, page.objects, prefix, previous);",
            replace: "",
          },
          {
            module: "ledger/audit",
            find: `throw broken(name, "is not in ascending order");`,
            replace: "",
          },
        ],
        reports: /^f\/6: never handled$/m,
      },
    ],
  },
  {
    it: "a page that lies without contradicting itself is found by verify",
    scenario: consistentLie,
    controls: [
      {
        without: "the verdict on what is missing",
        changes: [
          {
            module: "transfer/verify",
            find: `return { verdict: "missing", ...whyNotThere(plan) };`,
            replace: `return { verdict: "same" };`,
          },
        ],
        reports: /^verify found 0 of 6 missing$/m,
      },
    ],
  },
]);

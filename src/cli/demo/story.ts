/** How the demo ends: a report for people, or one JSON line for machines. */
import type { MigrationStatus } from "../../pipeline/status.ts";
import type { PocketServer } from "../../pocket/http.ts";
import { countText, outcomesText, sizeText, table } from "../amounts.ts";
import type { Clouds } from "./clouds.ts";
import type { Opened } from "./proof.ts";
import type { Seeded } from "./seed.ts";

export interface Ending {
  readonly status: MigrationStatus;
  readonly killedWorkers: number;
  readonly seconds: number;
  readonly seeded: readonly Seeded[];
  readonly opened: Opened;
}

export const jsonLine = ({ status, killedWorkers, seconds, opened }: Ending) => ({
  state: status.state,
  objects: { listed: status.totals.listed, ...status.totals.counts },
  bytes: status.totals.bytes,
  opened: opened.opened,
  mismatched: opened.mismatched.length,
  killedWorkers,
  seconds: Math.round(seconds * 10) / 10,
});

export function tell(say: (text: string) => void, ending: Ending, clouds: Clouds): void {
  const { status, opened, seeded, seconds, killedWorkers } = ending;
  const { totals } = status;
  const kinds = new Map<string, number>();
  for (const { kind } of seeded) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  say("");
  say(table([["what was there", "objects"], ...[...kinds].map(([kind, count]) => [kind, countText(count)] as const)]));
  say("");
  say(
    `${status.state} in ${seconds.toFixed(1)} s: ${countText(totals.listed)} listed = ${outcomesText(totals.counts)}`,
  );
  say(
    `  ${sizeText(totals.bytes)} moved, ${killedWorkers} worker killed on the way, ${countText(totals.pages)} pages, each counted once`,
  );
  say(`  ${countText(opened.untouched)} ciphertexts are the same on both shores, bit for bit (SHA-256)`);
  say(
    `  ${countText(totals.counts.resealed)} objects had no envelope: the provider decrypted them as they were read, and they were sealed again`,
  );
  say(
    `  ${countText(opened.opened)} of ${countText(seeded.length)} objects opened with the destination key, plaintext as it was sealed in the beginning`,
  );
  for (const { key, why } of opened.mismatched.slice(0, 10)) say(`  NOT PROVEN ${JSON.stringify(key)}: ${why}`);
  if (status.result)
    say(
      `  audited from the ledger alone: ${status.result.pages} pages, digest ${status.result.digest.slice(0, 16)}...`,
    );
  say("");
  say("What the clouds were asked:");
  const clouds4: [string, PocketServer, RegExp][] = [
    ["S3", clouds.s3, /^(GET|HEAD|PUT)$/],
    ["GCS", clouds.gcs, /^(GET|POST|PUT)$/],
    ["AWS KMS", clouds.awsKms, /(Decrypt|Encrypt)$/],
    ["Cloud KMS", clouds.gcpKms, /(decrypt|encrypt)$/i],
  ];
  for (const [name, cloud, wanted] of clouds4) {
    const counts = [...cloud.counts]
      .filter(([label]) => wanted.test(label))
      .map(([label, count]) => `${label} ${countText(count)}`);
    say(`  ${name.padEnd(10)} ${counts.join(", ")}`);
  }
  say("");
  say(
    opened.mismatched.length === 0
      ? "Nothing was lost, and no sealed object was opened on the way."
      : "Something is wrong: see above.",
  );
}

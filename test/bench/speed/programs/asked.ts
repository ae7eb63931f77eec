/** What the small programs are asked for, and the loop that all of them have. */
import { ACCESS_KEY, keyOf, SECRET_KEY } from "../seed.ts";

export interface Asked {
  readonly source: string;
  readonly destination: string;
  readonly kms: string;
  readonly caFile?: string;
  readonly from: string;
  readonly to: string;
  readonly count: number;
  readonly concurrency: number;
}

export const asked = JSON.parse(process.argv[2] ?? "") as Asked;
export const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY };

/** Every key once, so many at a time. */
export async function forEveryKey(move: (key: string) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < asked.count) await move(keyOf(next++));
  };
  await Promise.all(Array.from({ length: asked.concurrency }, lane));
}

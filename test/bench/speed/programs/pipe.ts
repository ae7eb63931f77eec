/** The least that a copy of bytes costs in Node: `node:http`, GET piped into PUT, nothing signed, nothing looked at. */
import { Agent as HttpAgent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { IncomingMessage, RequestOptions } from "node:http";
import { pipeline } from "node:stream/promises";
import { asked, forEveryKey } from "./asked.ts";

const isTls = asked.source.startsWith("https:");
const agent = isTls ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
const begin = (url: string, options: RequestOptions) =>
  (isTls ? httpsRequest : httpRequest)(url, { ...options, agent });

await forEveryKey(async (key) => {
  const got = await new Promise<IncomingMessage>((resolve, reject) => {
    begin(`${asked.source}/${asked.from}/${key}`, { method: "GET" })
      .once("response", resolve)
      .once("error", reject)
      .end();
  });
  const headers = { "content-length": got.headers["content-length"] };
  const put = begin(`${asked.destination}/${asked.to}/${key}`, { method: "PUT", headers });
  const answered = new Promise<IncomingMessage>((resolve, reject) =>
    put.once("response", resolve).once("error", reject),
  );
  await pipeline(got, put);
  const answer = await answered;
  answer.resume();
  if (answer.statusCode !== 200) throw new Error(`PUT ${key}: ${answer.statusCode}`);
});
process.exit(0);

/**
 * The laws of KMS drivers against moto's KMS, an implementation we did not write. moto.sh installs it into the directory named by
 * SEALIFT_MOTO, by default below the system's temporary one.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CreateKeyCommand, DisableKeyCommand, KMSClient } from "@aws-sdk/client-kms";
import { type KeyUri, keyUri } from "../../../src/core/key.ts";
import { openAwsKms } from "../../../src/kms/aws.ts";
import { kmsSuite } from "../../kms/kms.suite.ts";

const region = "us-east-1";
const credentials = { accessKeyId: "moto", secretAccessKey: "moto-secret" };

/**
 * As AWS says it of keys it cannot find; moto says it also where a key was named and another is in the blob. Not called
 * KMS_CANNOT_OPEN, because the same words mean a missing permission on somebody else's key.
 */
const STRAY = "moto answers AccessDeniedException where the key in the blob is not the key in the request";

kmsSuite(
  "aws, against moto",
  async () => {
    const { endpoint, server } = await startMoto();
    const client = new KMSClient({ endpoint, region, credentials, maxAttempts: 1 });
    const create = async () => (await client.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? "";
    const [key, otherKey, third] = [await create(), await create(), await create()];
    const kms = openAwsKms({ endpoint, region, credentials });
    const uriOf = (arn: string) => keyUri(`aws-kms://${arn}`);
    const disabled = {
      key: uriOf(third),
      disable: async () => void (await client.send(new DisableKeyCommand({ KeyId: third.split("/")[1] }))),
    };
    const cleanup = async () => {
      await kms.close();
      client.destroy();
      server.kill();
    };
    const unknownKey = `${uriOf(key).slice(0, -1)}${key.endsWith("0") ? "1" : "0"}` as KeyUri;
    return { kms, key: uriOf(key), otherKey: uriOf(otherKey), unknownKey, disabled, cleanup };
  },
  {
    flips: 40,
    skip: {
      "rewrap opens under the new key and context only": STRAY,
      "another key does not open it": STRAY,
      "a flipped bit anywhere does not open": STRAY,
      "cut, lengthened, empty and giant bytes do not open": STRAY,
      "every way of not opening reads the same": STRAY,
      "a disabled key is unusable, and says so": "moto's Encrypt and Decrypt do not look at the key's state",
    },
  },
);

async function startMoto(): Promise<{ endpoint: string; server: ChildProcess }> {
  const home = process.env["SEALIFT_MOTO"] ?? join(tmpdir(), "sealift-moto");
  const program = execFileSync(fileURLToPath(new URL("moto.sh", import.meta.url)), [home], { encoding: "utf8" }).trim();
  const port = await freePort();
  const server = spawn(program, ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries++) {
    if (server.exitCode !== null) throw new Error(`moto ended with ${server.exitCode}`);
    const up = await fetch(`${endpoint}/moto-api/`).catch(() => undefined);
    if (up) return { endpoint, server };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  server.kill();
  throw new Error("moto did not come up");
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

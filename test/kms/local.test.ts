import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DataKey, type KeyUri } from "../../src/core/key.ts";
import { createLocalKey, openLocalKms } from "../../src/kms/local.ts";
import { kmsSuite } from "./kms.suite.ts";

const never = new AbortController().signal;
const secret = () => new DataKey(Buffer.alloc(32, 7));

kmsSuite(
  "local",
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "sealift-keys-"));
    const [key, otherKey] = [await createLocalKey(directory, "one"), await createLocalKey(directory, "two")];
    const kms = openLocalKms({ directory });
    const cleanup = async () => {
      await kms.close();
      await rm(directory, { recursive: true });
    };
    return { kms, key, otherKey, unknownKey: "local://three" as KeyUri, cleanup };
  },
  {
    unknownCode: "KEY_FILE",
    skip: {
      "rewrap opens under the new key and context only": "a file cannot rewrap on its side",
      "a disabled key is unusable, and says so": "a key in a file has no state",
    },
  },
);

describe("local key files", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "sealift-keys-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const use = async (name = "k") => {
    const kms = openLocalKms({ directory });
    try {
      await kms.check(`local://${name}` as KeyUri, "wrap", never);
    } finally {
      await kms.close();
    }
  };

  it("creates a key of mode 0600, once", async () => {
    expect(await createLocalKey(directory, "k")).toBe("local://k");
    const path = join(directory, "k.key");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const before = await readFile(path, "utf8");
    expect(before).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    await expect(createLocalKey(directory, "k")).rejects.toMatchObject({ code: "KEY_FILE" });
    expect(await readFile(path, "utf8")).toBe(before);
    await use();
  });

  it.each([0o640, 0o604, 0o620, 0o602, 0o610])("refuses a key file of mode %o", async (mode) => {
    await createLocalKey(directory, "k");
    await chmod(join(directory, "k.key"), mode);
    await expect(use()).rejects.toMatchObject({ code: "KEY_FILE" });
  });

  it.each([0o750, 0o705, 0o720])("refuses a directory of mode %o", async (mode) => {
    await createLocalKey(directory, "k");
    await chmod(directory, mode);
    await expect(use()).rejects.toMatchObject({ code: "KEY_FILE" });
    await expect(createLocalKey(directory, "l")).rejects.toMatchObject({ code: "KEY_FILE" });
  });

  it.skipIf(process.getuid?.() !== 0)("refuses a key file of another user (needs root to make one)", async () => {
    await createLocalKey(directory, "k");
    await chown(join(directory, "k.key"), 12345, 12345);
    await expect(use()).rejects.toMatchObject({ code: "KEY_FILE" });
  });

  it.each([
    ["empty", ""],
    ["short", `${Buffer.alloc(31).toString("base64")}\n`],
    ["long", `${Buffer.alloc(33).toString("base64")}\n`],
    ["two lines", `${Buffer.alloc(32).toString("base64")}\n\nx`],
    ["hex", Buffer.alloc(32).toString("hex")],
    ["base64url", `${Buffer.alloc(32, 0xff).toString("base64url")}=\n`],
    ["padding bits set", `${"A".repeat(42)}B=\n`],
    ["a leading space", ` ${Buffer.alloc(32).toString("base64")}\n`],
    ["endless", "A".repeat(100_000)],
  ])("refuses a file that is %s, without showing it", async (_, text) => {
    await writeFile(join(directory, "k.key"), text, { mode: 0o600 });
    await expect(use()).rejects.toMatchObject({ code: "KEY_FILE", message: expect.not.stringContaining("AAAA") });
  });

  it("follows no link and opens no directory", async () => {
    await createLocalKey(directory, "real");
    await symlink(join(directory, "real.key"), join(directory, "k.key"));
    await expect(use()).rejects.toMatchObject({ code: "KEY_FILE" });
    await mkdir(join(directory, "d.key"), { mode: 0o700 });
    await expect(use("d")).rejects.toMatchObject({ code: "KEY_FILE" });
    await expect(use("missing")).rejects.toMatchObject({ code: "KEY_FILE" });
  });

  it("looks again after a failure", async () => {
    const kms = openLocalKms({ directory });
    await expect(kms.check("local://k" as KeyUri, "wrap", never)).rejects.toMatchObject({ code: "KEY_FILE" });
    await createLocalKey(directory, "k");
    await kms.check("local://k" as KeyUri, "wrap", never);
    await kms.close();
  });

  it("finds the key by its fingerprint where the envelope names none", async () => {
    const keys = [await createLocalKey(directory, "a"), await createLocalKey(directory, "b")];
    await writeFile(join(directory, "not a key.key"), "x", { mode: 0o600 });
    const kms = openLocalKms({ directory });
    for (const key of keys) {
      using dataKey = secret();
      const { scheme, bytes } = await kms.wrap(key, dataKey, new Map(), never);
      const found = await kms.unwrap({ scheme, bytes }, new Map(), never);
      expect(found?.by).toBe(key);
      expect(found?.dataKey.equals(dataKey)).toBe(true);
    }
    const unknown = { scheme: "local", bytes: Buffer.alloc(69, 1) } as const;
    await expect(kms.unwrap(unknown, new Map(), never)).rejects.toMatchObject({ code: "KMS_CANNOT_OPEN" });
    await kms.close();
  });

  it("keeps the drawn layout: 37 bytes around the data key", async () => {
    const key = await createLocalKey(directory, "a");
    const kms = openLocalKms({ directory });
    using dataKey = secret();
    const { bytes } = await kms.wrap(key, dataKey, new Map(), never);
    expect([bytes.length, bytes[0]]).toEqual([69, 1]);
    await kms.close();
  });
});

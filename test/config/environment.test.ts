import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readEnvironment, secret } from "../../src/config.ts";
import { asSealiftError } from "../../src/core/error.ts";

describe("environment", () => {
  test("flags are SEALIFT_FLAG_NAME, and the empty value is none", () => {
    const { flag } = readEnvironment({ SEALIFT_LOG_FORMAT: "json", SEALIFT_REGION: "" });
    expect([flag("log-format"), flag("region"), flag("constructor")]).toEqual(["json", undefined, undefined]);
  });

  test("state lives where SEALIFT_STATE_DIR, else XDG, else the home directory says", () => {
    const at = (env: Record<string, string>) => readEnvironment(env).stateDirectory;
    expect(at({ SEALIFT_STATE_DIR: "/s", XDG_STATE_HOME: "/x", HOME: "/h" })).toBe("/s");
    expect(at({ XDG_STATE_HOME: "/x", HOME: "/h" })).toBe("/x/sealift");
    expect(at({ XDG_STATE_HOME: "x", HOME: "/h" })).toBe("/h/.local/state/sealift");
    expect(at({})).toBe(join(homedir(), ".local/state/sealift"));
    expect(() => at({ SEALIFT_STATE_DIR: "s" })).toThrow(/absolute/);
  });

  test("sealift's own names win over the shared ones", () => {
    expect(readEnvironment({ REDIS_URL: "redis://a" }).redisUrl).toBe("redis://a");
    expect(readEnvironment({ REDIS_URL: "redis://a", SEALIFT_REDIS: "redis://b" }).redisUrl).toBe("redis://b");
    expect(readEnvironment({ SEALIFT_LEDGER: "file:///l" }).ledgerUrl).toBe("file:///l");
  });

  test("NO_COLOR counts when it is not empty", () => {
    expect([{}, { NO_COLOR: "" }, { NO_COLOR: "0" }].map((env) => readEnvironment(env).noColor)).toEqual([
      false,
      false,
      true,
    ]);
  });
});

describe("secret", () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "sealift-secret-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const file = (name: string, text: string | Buffer, mode = 0o600) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return `file:${path}`;
  };

  const refusal = (reference: string) => {
    try {
      return `answered ${secret(reference, { EMPTY: " " })}`;
    } catch (error) {
      const { code, message } = asSealiftError(error);
      return `${code}: ${message.replaceAll(directory, "")}`;
    }
  };

  test("env: and file: name a value, white space at its ends left out", () => {
    expect(secret("env:A", { A: "value" })).toBe("value");
    expect(secret(file("good", "  value with spaces\n"))).toBe("value with spaces");
  });

  test("a symbolic link is followed and its end judged", () => {
    file("private", "value");
    symlinkSync(join(directory, "private"), join(directory, "link"));
    expect(secret(`file:${join(directory, "link")}`)).toBe("value");
  });

  test("what is missing, empty or open to others is refused with its reason", () => {
    mkdirSync(join(directory, "folder"), { mode: 0o700 });
    expect(refusal("env:NOT_THERE")).toBe("SECRET_MISSING: env:NOT_THERE is not set");
    expect(refusal("env:EMPTY")).toBe("SECRET_MISSING: env:EMPTY is empty");
    expect(refusal(`file:${directory}/none`)).toBe("SECRET_MISSING: file:/none is not there");
    expect(refusal(`file:${directory}/folder`)).toBe("SECRET_MISSING: file:/folder is not a regular file");
    expect(refusal(file("large", Buffer.alloc(65 * 1024)))).toMatch(/larger than/);
    for (const mode of [0o640, 0o604, 0o620, 0o602]) {
      expect(refusal(file(`open-${mode}`, "value", mode))).toMatch(
        /^SECRET_MISSING: .* can be read or written by other users/,
      );
    }
  });

  test("what is no reference is refused without being repeated", () => {
    for (const inline of ["hunter2", "env:", "file:relative", "env:A B", "Env:A"]) {
      expect(refusal(inline)).toBe("SECRET_MISSING: a secret is not written as a reference (env:NAME or file:/path)");
    }
  });
});

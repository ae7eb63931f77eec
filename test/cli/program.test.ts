import { EventEmitter } from "node:events";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Command, Invocation, Options } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import { EVERYWHERE } from "../../src/cli/program.ts";
import { CODES, type Code, type ExitCode, SealiftError } from "../../src/core/error.ts";
import { perform } from "./stage.ts";

const OPTIONS: Options = {
  region: { type: "string", value: "REGION", means: "a Region" },
  endpoint: { type: "string", short: "e", means: "an endpoint" },
  include: { type: "string", multiple: true, means: "a pattern" },
  overwrite: { type: "boolean", means: "yes or no" },
  transfers: { type: "string", means: "a number" },
};

const verb = (run: (invocation: Invocation) => Promise<ExitCode>): Command => ({
  name: "probe",
  summary: "a verb of this test",
  usage: "[thing]",
  options: OPTIONS,
  positionalsMax: 1,
  run,
});

/** Runs a verb that answers what it was given. */
async function flagsOf(args: readonly string[], env = {}) {
  const probe = verb(async ({ flags, positionals, output }) => {
    const { text, is, list, number } = flags;
    output.json([
      positionals,
      text("region"),
      text("endpoint"),
      list("include"),
      is("overwrite"),
      number("transfers", 1, 99),
    ]);
    return 0;
  });
  const { code, stdout, stderr } = await perform(["probe", ...args], { commands: [probe], env });
  return code === 0 ? (JSON.parse(stdout) as unknown[]) : `${code} ${stderr}`;
}

describe("flags", () => {
  test("every form of every kind", async () => {
    expect(await flagsOf([])).toEqual([[], null, null, [], false, null]);
    expect(
      await flagsOf([
        "--region",
        "r",
        "-e",
        "x",
        "thing",
        "--include",
        "a",
        "--overwrite",
        "--include=b,c",
        "--transfers=7",
      ]),
    ).toEqual([["thing"], "r", "x", ["a", "b,c"], true, 7]);
    expect(await flagsOf(["--overwrite=no", "--region=--odd", "--", "--thing"])).toEqual([
      ["--thing"],
      "--odd",
      null,
      [],
      false,
      null,
    ]);
  });

  test("the environment is the lower layer", async () => {
    const env = { SEALIFT_REGION: "env", SEALIFT_INCLUDE: "a,b", SEALIFT_OVERWRITE: "yes", SEALIFT_TRANSFERS: "8" };
    expect(await flagsOf([], env)).toEqual([[], "env", null, ["a", "b"], true, 8]);
    expect(await flagsOf(["--region", "line", "--overwrite=false", "--include", "c"], env)).toEqual([
      [],
      "line",
      null,
      ["c"],
      false,
      8,
    ]);
    expect(await flagsOf([], { SEALIFT_OVERWRITE: "perhaps" })).toMatch(/^2 .*SEALIFT_OVERWRITE is yes or no/);
  });

  test.each<[string[], RegExp]>([
    [["--regin", "r"], /unknown flag --regin; did you mean --region\?/],
    [["--zzz"], /unknown flag --zzz\. /],
    [["-x"], /unknown flag -x/],
    [["--__proto__"], /unknown flag --__proto__/],
    [["--region"], /--region needs a value \(REGION\)/],
    [["--region", "--endpoint", "x"], /--region needs a value/],
    [["--overwrite=perhaps"], /--overwrite is yes or no/],
    [["--transfers", "many"], /--transfers is a whole number from 1 to 99/],
    [["--transfers", "0"], /--transfers is a whole number from 1 to 99/],
    [["--transfers", "1e1"], /--transfers is a whole number/],
    [["a", "b"], /does not take "b"/],
    [["--log-format", "xml"], /--log-format is text or json/],
    [["--log-level", "loud"], /--log-level is one of/],
  ])("%j is a usage error", async (args, message) => {
    const answer = await flagsOf(args);
    expect(answer).toMatch(/^2 sealift: USAGE: /);
    expect(answer).toMatch(message);
  });

  test("a required flag is missed by its name", async () => {
    const probe = verb(async ({ flags }) => (flags.required("region") ? 0 : 1));
    expect((await perform(["probe"], { commands: [probe] })).stderr).toMatch(/USAGE: --region is required/);
  });
});

describe("exit codes", () => {
  test.each(Object.entries(CODES).map(([code, row]) => [code, row.exit] as const))(
    "%s ends with %i",
    async (code, exit) => {
      const probe = verb(() => Promise.reject(new SealiftError(code as Code, "what happened", { object: "a/b" })));
      const { code: ended, stdout, stderr } = await perform(["probe"], { commands: [probe] });
      expect(ended).toBe(exit);
      expect(stdout).toBe("");
      expect(stderr).toBe(`sealift: ${code} "a/b": what happened. Next: ${CODES[code as Code].next}\n`);
    },
  );

  test("a verb's own answer is the exit code; a stranger's error is a defect", async () => {
    expect((await perform(["probe"], { commands: [verb(async () => 6)] })).code).toBe(6);
    const broken = await perform(["probe"], {
      commands: [verb(() => Promise.reject(new TypeError("x is undefined")))],
    });
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringMatching(/^sealift: INTERNAL: x is undefined/)]);
  });

  test("control characters of others do not reach the terminal, nor do secrets", async () => {
    const error = new SealiftError("PROVIDER_REFUSED", "said \u001b[2J\nAKIAIOSFODNN7EXAMPLE\u202e", {
      object: "\u009bx",
    });
    const { stderr } = await perform(["probe"], { commands: [verb(() => Promise.reject(error))] });
    expect(stderr).toContain('"\\u009bx": said \\u001b[2J\\u000a[redacted]\\u202e');
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  test("as JSON, the error is one line with its code, object and advice", async () => {
    const probe = verb(() => Promise.reject(new SealiftError("CONFLICT", "differs", { object: "k" })));
    const { stderr, code } = await perform(["probe", "--log-format", "json"], { commands: [probe] });
    expect(code).toBe(6);
    expect(JSON.parse(stderr)).toMatchObject({
      level: "error",
      msg: "differs",
      errorCode: "CONFLICT",
      object: "k",
      next: CODES.CONFLICT.next,
    });
  });
});

describe("signals", () => {
  const waiting = (signals: EventEmitter, names: readonly string[]) =>
    verb(async ({ signal }) => {
      queueMicrotask(() => names.forEach((name) => signals.emit(name)));
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      return 0;
    });

  test("SIGINT asks the verb to end, and is 130", async () => {
    const signals = new EventEmitter();
    const { code, exits } = await perform(["probe"], { signals, commands: [waiting(signals, ["SIGINT"])] });
    expect([code, exits, signals.listenerCount("SIGINT")]).toEqual([130, [], 0]);
  });

  test("the second SIGINT ends at once", async () => {
    const signals = new EventEmitter();
    const { exits } = await perform(["probe"], { signals, commands: [waiting(signals, ["SIGINT", "SIGINT"])] });
    expect(exits).toEqual([130]);
  });

  test("SIGTERM is an interruption that a resume heals", async () => {
    const signals = new EventEmitter();
    const { code, stderr } = await perform(["probe"], { signals, commands: [waiting(signals, ["SIGTERM"])] });
    expect([code, stderr]).toEqual([5, expect.stringMatching(/INTERRUPTED/)]);
  });

  test("a verb that ends in good order is still 130 after SIGINT, and its own error wins over it", async () => {
    const signals = new EventEmitter();
    const orderly = verb(async () => {
      signals.emit("SIGINT");
      return 0;
    });
    expect((await perform(["probe"], { signals, commands: [orderly] })).code).toBe(130);
    const forged = verb(async () => {
      signals.emit("SIGINT");
      throw new SealiftError("SEAL_FORGED", "broken");
    });
    expect((await perform(["probe"], { signals, commands: [forged] })).code).toBe(7);
  });
});

describe("help", () => {
  test("sealift alone is a usage error that helps; help is an answer", async () => {
    const alone = await perform([]);
    expect([alone.code, alone.stdout]).toEqual([2, ""]);
    for (const args of [["help"], ["--help"], ["-h"]]) {
      const { code, stdout, stderr } = await perform(args);
      expect([code, stderr, stdout]).toEqual([0, "", alone.stderr]);
    }
  });

  test("--version is package.json's", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    expect((await perform(["--version"])).stdout).toBe(`sealift ${version}\n`);
  });

  test("unknown verbs are met with the nearest one", async () => {
    expect(await perform(["inspct"])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/did you mean inspect\?/) as string,
    });
    expect((await perform(["--json", "inspect"])).stderr).toMatch(/the verb comes first/);
    expect((await perform(["help", "fly"])).code).toBe(2);
  });

  test.each(COMMANDS.map((command) => [command.name, command] as const))(
    "%s explains itself",
    async (name, command) => {
      const { code, stdout } = await perform(["help", name]);
      expect([code, (await perform([name, "--help"])).stdout]).toEqual([0, stdout]);
      expect(stdout).toContain(`sealift ${name}: ${command.summary}`);
      for (const option of Object.keys(command.options)) expect(stdout).toContain(`--${option}`);
      expect(command.summary).toMatch(/^[a-z].*[^.]$/);
    },
  );

  test("no verb gives a common flag, or the letter of one, another meaning", () => {
    const letters = Object.values(EVERYWHERE).map(({ short }) => short);
    for (const { name, options } of COMMANDS) {
      const own = Object.entries(options).filter(
        ([flag, { short }]) => Object.hasOwn(EVERYWHERE, flag) || (short !== undefined && letters.includes(short)),
      );
      expect([name, own]).toEqual([name, []]);
    }
    expect(new Set(COMMANDS.map(({ name }) => name)).size).toBe(COMMANDS.length);
  });
});

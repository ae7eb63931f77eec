import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renderJobSchema } from "../../src/cli/schema.ts";
import { parseJob } from "../../src/config/job.ts";
import { asSealiftError } from "../../src/core/error.ts";

const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const MINIMAL = {
  apiVersion: "sealift/v1",
  kind: "Migration",
  source: { url: "s3://old-bucket/in/" },
  destination: { url: "gs://new-bucket" },
  keys: { wrapWith: "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k" },
};

/** The minimal job with one field set; `path` is dotted. */
function withField(path: string, value: unknown): Record<string, unknown> {
  const job = structuredClone(MINIMAL) as Record<string, unknown>;
  const steps = path.split(".");
  const last = steps.pop() as string;
  let place = job;
  for (const step of steps) place = (place[step] ??= {}) as Record<string, unknown>;
  place[last] = value;
  return job;
}

const parse = (value: unknown) => parseJob(JSON.stringify(value), "job.json");

function refusal(value: unknown): string {
  try {
    parseJob(typeof value === "string" ? value : JSON.stringify(value), "job.yaml");
    return "accepted";
  } catch (error) {
    const known = asSealiftError(error);
    expect(known.code).toBe("JOB_INVALID");
    return known.message;
  }
}

describe("job file", () => {
  test("defaults are filled in, and the result is plain JSON", () => {
    const job = parse(MINIMAL);
    expect(job.options).toEqual({
      fallback: "seal",
      overwrite: false,
      verify: "sample",
      pageObjects: 1000,
      transfers: 64,
      esdk: "auto",
      esdkKeys: "replace",
      hugeBytes: "512M",
    });
    expect(job.retry).toEqual({ attempts: 6, delayMs: 200 });
    expect(job.keys).toEqual({ ...MINIMAL.keys, allow: [], requireContext: {}, sealContext: {}, esdkContext: {} });
    expect(JSON.parse(JSON.stringify(job))).toEqual(job);
    expect(parse(job)).toEqual(job);
  });

  test("YAML and JSON say the same", () => {
    const yaml = [
      "apiVersion: sealift/v1 # comment",
      "kind: Migration",
      "source: { url: 's3://old-bucket/in/' }",
      "destination:",
      "  url: gs://new-bucket",
      "keys:",
      `  wrapWith: ${MINIMAL.keys.wrapWith}`,
    ].join("\n");
    expect(parseJob(yaml, "job.yaml")).toEqual(parse(MINIMAL));
  });

  test.each<[string, unknown, RegExp]>([
    ["kind", "Migrations", /^job.yaml: kind: /],
    ["apiVersion", "sealift/v2", /apiVersion: .*sealift\/v1/],
    ["name", "a\nb", /name: must be/],
    ["source.urls", "s3://x", /source: unknown field "urls"/],
    ["source.url", "s3://", /source.url: .*bucket/],
    ["source.url", "https://bucket/key", /source.url: a store URL begins with/],
    ["source.url", "s3://UPPER/x", /source.url: "UPPER" is not a bucket/],
    ["source.url", undefined, /source.url: is required/],
    ["source.region", 7, /source.region: expected string/],
    ["source.region", "eu central", /source.region: must be a Region/],
    ["source.endpoint", "s3.example.com", /source.endpoint: must be scheme/],
    ["source.endpoint", "https://s3.example.com/path", /source.endpoint: must be scheme/],
    ["source.endpoint", "ftp://s3.example.com", /source.endpoint: must be scheme/],
    ["source.caFile", "ca.pem", /source.caFile: must be an absolute path/],
    ["source.anonymous", true, /source.anonymous: means nothing for s3/],
    ["destination.region", "eu-west-1", /destination.region: means nothing for gs/],
    ["source.customerKeys", ["env:A", "AAAA"], /source.customerKeys\[1\]: must be a reference/],
    ["source.kms.grpcEndpoint", "localhost:1", /source.kms.grpcEndpoint: .*transport: grpc/],
    ["source.kms.url", "x", /source.kms: unknown field/],
    ["keys.wrapWith", undefined, /keys.wrapWith: is required/],
    ["keys.wrapWith", "gcp-kms://projects/p", /keys.wrapWith: not a key URI/],
    ["keys.wrapWith", ARN, /keys.wrapWith: must be aws-kms/],
    ["keys.wrapWith", "local://k", /keys.localDirectory: is needed/],
    ["keys.account", "1111 2222", /keys.account: must be an AWS account id/],
    ["keys.account", "my-project", /keys.account: for keys of an s3:\/\/ source/],
    ["keys.wrapWith", "local-rsa://k", /keys.wrapWith: local-rsa:.* only open/],
    ["keys.allow", ["local-rsa://k"], /keys.localDirectory: is needed/],
    ["keys.allow", ["aws-kms://a b"], /keys.allow\[0\]/],
    ["keys.allow", [`aws-kms://${ARN}`, "aws-kms://arn:aws:kms"], /keys.allow\[1\]: not a key URI/],
    ["keys.allow", ["aws-kms://alias/old"], /keys.allow\[0\]: name the key by its ARN/],
    ["keys.allow", ["aws-kms://1234abcd-12ab-34cd-56ef-1234567890ab"], /keys.allow\[0\]: name the key by its ARN/],
    ["keys.requireContext", { tenant: 7 }, /keys.requireContext.tenant: expected string/],
    ["keys.localDirectory", "keys", /keys.localDirectory: must be an absolute path/],
    ["filter.include", ["a[b"], /filter: pattern/],
    ["filter.minSize", "10 bananas", /filter.minSize: write 10M/],
    ["filter.minAge", "yesterday", /filter.*: not a duration/],
    ["options.fallback", "encrypt", /options.fallback: .*seal.*server.*copy.*refuse/],
    ["options.envelope", "s3ec-v3", /options.envelope: /],
    ["options.tink", { template: "AES_GCM", key: "local://k" }, /options.tink.template: /],
    ["options.tink", { template: "AES256_GCM" }, /options.tink.key: /],
    ["options.tink", { template: "AES256_GCM", key: "hcvault://h/transit/keys/k" }, /options.tink.key: must be/],
    ["options.tink", { template: "AES256_GCM", key: "gcp-kms://k" }, /options.tink.key: not a key URI/],
    ["options.tink", { template: "AES256_GCM", key: "aws-kms://alias/k" }, /options.tink.key: name the key by its ARN/],
    ["options.tink", { template: "AES256_GCM", key: "local-rsa://k" }, /options.tink.key: local-rsa/],
    ["options.tink", { template: "AES256_GCM", key: "local://k", prefix: "NONE" }, /options.tink.prefix: /],
    ["options.tinkKeysets", { format: "TEXT", key: "local://k" }, /options.tinkKeysets.format: /],
    ["options.tinkKeysets", { format: "JSON", key: "aws-kms://alias/k" }, /options.tinkKeysets.key: name the key/],
    ["options.serverKey", "k", /options.serverKey: .*fallback: server/],
    ["options.pageObjects", 1001, /options.pageObjects/],
    ["options.pageObjects", 0, /options.pageObjects/],
    ["options.transfers", 1.5, /options.transfers/],
    ["options.hugeBytes", "1023K", /options.hugeBytes: is at least 1M/],
    ["options.hugeBytes", "much", /options.hugeBytes/],
    ["options.instructionSuffix", "", /options.instructionSuffix/],
    ["options.instructionSuffix", "/x", /options.instructionSuffix: is the end of a name/],
    ["retry.attempts", 0, /retry.attempts/],
    ["retry.delayMs", "200", /retry.delayMs: expected number/],
  ])("%s = %j is refused, and the message names the field", (path, value, message) => {
    expect(refusal(withField(path, value))).toMatch(message);
  });

  test("a Tink key has to be one that may be opened; its prefix is RAW unless it is said", () => {
    const tink = { template: "AES256_GCM", key: `aws-kms://${ARN}` };
    const keys = (allow: string[]) => ({ ...withField("options.tink", tink), keys: { ...MINIMAL.keys, allow } });
    expect(refusal(keys([`aws-kms://${ARN.replace("1234abcd", "9999abcd")}`]))).toMatch(
      /options.tink.key: .*keys.allow/,
    );
    expect(parse(keys([`aws-kms://${ARN}`])).options.tink).toEqual({ ...tink, prefix: "RAW" });
    expect(refusal(keys([]))).toBe("accepted");
  });

  test("what is sealed as Tink binds no context: one that was asked for is refused", () => {
    const tink = (fallback: string, sealContext: object) =>
      refusal({ ...withField("options", { envelope: "tink", fallback }), keys: { ...MINIMAL.keys, sealContext } });
    expect(tink("seal", { tenant: "42" })).toMatch(/keys.sealContext: Tink binds no key context/);
    expect(tink("copy", { tenant: "42" })).toBe("accepted");
    expect(tink("seal", {})).toBe("accepted");
    const sealed = {
      ...withField("options", { sealAs: "tink" }),
      keys: { ...MINIMAL.keys, sealContext: { tenant: "42" } },
    };
    expect(refusal(sealed)).toMatch(/keys.sealContext: Tink binds no key context/);
  });

  test("a destination within its own source is refused", () => {
    const into = (source: object, destination: object) => refusal({ ...MINIMAL, source, destination });
    expect(into({ url: "gs://bucket/a" }, { url: "gs://bucket/a/b" })).toMatch(/destination.url: lies within/);
    expect(into({ url: "gs://bucket/" }, { url: "gs://bucket" })).toMatch(/destination.url: lies within/);
    expect(into({ url: "file:///a/b" }, { url: "file:///a" })).toMatch(/destination.url: lies within/);
    expect(into({ url: "gs://bucket/a/" }, { url: "gs://bucket/b/" })).toBe("accepted");
    expect(into({ url: "file:///a/b" }, { url: "file:///a/bc" })).toBe("accepted");
    // The same name in two services is two buckets.
    expect(into({ url: "s3://bucket" }, { url: "s3://bucket", endpoint: "https://s3.example.com" })).toBe("accepted");
  });

  test("profile and credentials exclude each other", () => {
    const credentials = { accessKeyId: "env:A", secretAccessKey: "env:B" };
    const source = { url: "s3://bucket", credentials };
    expect(refusal({ ...MINIMAL, source })).toBe("accepted");
    expect(refusal({ ...MINIMAL, source: { ...source, profile: "p" } })).toMatch(/source: give profile or credentials/);
    expect(refusal({ ...MINIMAL, source: { ...source, kms: { credentials, profile: "p" } } })).toMatch(
      /source.kms: give/,
    );
  });
});

describe("what a job file must not do", () => {
  const SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";

  // Wherever a secret lands by mistake, no message repeats it.
  test.each<[string, string | object]>([
    ["in place of a reference", withField("source.credentials", { accessKeyId: "env:A", secretAccessKey: SECRET })],
    ["as a customer key", withField("source.customerKeys", [SECRET])],
    ["in the URL", withField("source.url", `s3://AKIA:${SECRET}@bucket/x`)],
    ["in the endpoint", withField("source.endpoint", `https://user:${SECRET}@host`)],
    ["as a credentials file", withField("destination.credentialsFile", SECRET)],
    ["as an enum", withField("options.verify", SECRET)],
    ["as a number", withField("options.transfers", SECRET)],
    ["in a line that is not YAML", `apiVersion: sealift/v1\nkey: "${SECRET}\n  x: [`],
    ["twice", `a: ${SECRET}\na: ${SECRET}`],
    ["as an alias", `a: *${SECRET}`],
    ["as a tag", `a: !${SECRET} b`],
  ])("repeat a secret: %s", (_where, value) => {
    const message = refusal(value);
    expect(message).not.toBe("accepted");
    expect(message).not.toContain(SECRET);
  });

  test("grow: size, aliases and depth are limited", () => {
    expect(refusal(" ".repeat(1024 * 1024 + 1))).toMatch(/larger than/);
    const bomb = ["a: &a [x,x,x,x,x,x,x,x,x,x]"];
    for (let i = 1; i < 9; i++) {
      const before = String.fromCharCode(96 + i);
      bomb.push(
        `${String.fromCharCode(97 + i)}: &${String.fromCharCode(97 + i)} [${`*${before},`.repeat(10).slice(0, -1)}]`,
      );
    }
    expect(refusal(bomb.join("\n"))).toMatch(/aliases/);
    expect(refusal("[".repeat(50_000))).toMatch(/not YAML or JSON/);
  });

  test("reach a prototype by the names of its fields", () => {
    expect(refusal(JSON.stringify(MINIMAL).replace("{", '{"__proto__": {"x": 1}, '))).toMatch(
      /unknown field "__proto__"/,
    );
    const context = JSON.stringify(withField("keys.requireContext", { a: "b" })).replace('"a"', '"__proto__"');
    expect(refusal(context)).toMatch(/unknown field "__proto__"/);
  });

  test("say a field twice, in YAML or JSON", () => {
    expect(refusal('{"kind": "Migration", "kind": "Migration"}')).toMatch(/duplicate key/);
  });

  test("crash: any text is a job or JOB_INVALID", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string({ unit: fc.constantFrom("a", ":", " ", "\n", "-", "[", "{", "&", "*", "!", "\t") }),
        ),
        (text) => {
          expect(refusal(text)).not.toBe("");
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("published files", () => {
  const published = (name: string) => readFileSync(new URL(`../../config/${name}`, import.meta.url), "utf8");

  // By value: the published file is formatted like every other. To renew it: `sealift schema > config/migration.schema.json`.
  test("config/migration.schema.json is what `sealift schema` prints", () => {
    expect(JSON.parse(published("migration.schema.json"))).toEqual(JSON.parse(renderJobSchema()));
  });

  test("the schema closes every object and names the required fields", () => {
    const schema = JSON.parse(renderJobSchema()) as { additionalProperties: unknown; required: string[] };
    expect(schema.additionalProperties).toBe(false);
    expect(schema.required.sort()).toEqual(["apiVersion", "destination", "keys", "kind", "source"]);
  });

  test("the example is a valid job, and so is every line that it shows commented out", () => {
    const example = published("migration.example.yaml");
    expect(parseJob(example, "example").options.fallback).toBe("seal");
    // Alternatives of one another cannot stand together: one block at a time is switched on.
    const isSetting = (line: string) => /^\s*# +[\w]+:|^\s*#   \S/.test(line);
    const lines = example.split("\n");
    const shown = lines.filter(isSetting);
    expect(shown.length).toBeGreaterThan(20);
    for (const line of shown) expect(line).toMatch(/^\s*# {1,5}\w+: ?/);
  });

  test.each([
    ["source", /^ {2}# (endpoint|pathStyle|caFile|requesterPays|customerKeys|kms|profile| {2}region| {2}profile)/],
    ["credentials", /^ {2}# (credentials:| {2}(accessKeyId|secretAccessKey|sessionToken))/],
    ["destination", /^ {2}# (credentialsFile|userProject|kms:| {2}transport)/],
    ["keys", /^ {2}# (requireContext|sealContext|localDirectory|sourceRequests|destinationRequests)/],
    ["filter", /^# (filter:| {2}(include|exclude|minSize|maxSize|minAge|maxAge))/],
    [
      "options",
      /^ {2}# (envelope|tink|tinkKeysets|sealAs|pageObjects|transfers|hugeBytes|instructionSuffix|shardPrefixes)/,
    ],
    ["retry", /^# (retry:| {2}(attempts|delayMs))/],
  ])("the example's commented lines about %s are valid when switched on", (_name, pattern) => {
    let switched = 0;
    const section = { source: "", destination: "" };
    const lines = published("migration.example.yaml")
      .split("\n")
      .map((line) => {
        if (/^\w/.test(line)) section.source = line;
        const inSource = section.source.startsWith("source");
        const isSides = /^ {2}# {1,3}(kms|region|profile|transport)/.test(line);
        const belongs = !isSides || (_name === "source" && inSource) || (_name === "destination" && !inSource);
        if (!belongs || !pattern.test(line)) return line;
        switched++;
        return line.replace("# ", "");
      });
    expect(switched).toBeGreaterThan(1);
    expect(refusal(lines.join("\n"))).toBe("accepted");
  });
});

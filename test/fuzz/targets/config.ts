/** What an operator writes, or was sent by somebody: job files, URLs, filters, patterns, flags. */
import { readEnvironment, secret } from "../../../src/config.ts";
import { parseJob } from "../../../src/config/job.ts";
import { parseStoreUrl } from "../../../src/config/url.ts";
import type { Options } from "../../../src/cli/command.ts";
import { parseLine } from "../../../src/cli/flags.ts";
import { printable } from "../../../src/cli/output.ts";
import { redacted, scrubbed } from "../../../src/cli/log.ts";
import { compileFilter } from "../../../src/core/filter.ts";
import { compileGlob } from "../../../src/core/glob.ts";
import type { FilterSpec } from "../../../src/core/job.ts";
import { keyName, keyScheme, keyUri } from "../../../src/core/key.ts";
import { pairsOf, split, textOf } from "../input.ts";
import { holds, same, type Target } from "../target.ts";

const JOB = `apiVersion: sealift/v1
kind: Migration
name: a job
source:
  url: s3://from/prefix
  region: eu-west-1
  credentials: { accessKeyId: env:ID, secretAccessKey: "file:/run/key" }
destination:
  url: gs://to
  kms: { transport: grpc, grpcEndpoint: "localhost:1" }
keys:
  wrapWith: gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k
  allow: [aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1234abcd]
  requireContext: &pairs { tenant: "42" }
  sealContext: *pairs
filter: { include: ["*.pdf"], minSize: 1.5G, maxAge: 7d }
options: { verify: full, transfers: 8, shardPrefixes: [a, "m"] }
retry: { attempts: 3, delayMs: 10 }
`;

export const jobTarget: Target = {
  name: "job-file",
  seeds: [
    JOB,
    JSON.stringify(
      {
        apiVersion: "sealift/v1",
        kind: "Migration",
        source: { url: "file:///a" },
        destination: { url: "file:///b" },
        keys: { wrapWith: "local://one", localDirectory: "/k" },
      },
      null,
      1,
    ),
  ],
  run: (bytes) => {
    const job = parseJob(Buffer.from(bytes).toString("utf8"), "job");
    // As the ledger keeps it, and as each worker reads it again.
    same(parseJob(JSON.stringify(job), "plan"), job, "read, kept, read");
  },
};

export const urlTarget: Target = {
  name: "urls",
  seeds: [
    "s3://bucket/a/b",
    "gs://b.c_d/",
    "file:///a/../b/",
    "local://one",
    "aws-kms://alias/x",
    "env:HOME",
    "aws-kms://arn:aws:kms:eu-west-1:111122223333:key/1",
  ],
  run: (bytes) => {
    const text = textOf(bytes);
    if (text.startsWith("env:")) secret(text, { HOME: "value" });
    else if (/^(s3|gs|file):/.test(text)) {
      const url = parseStoreUrl(text);
      const again = url.scheme === "file" ? `file://${url.root}` : `${url.scheme}://${url.bucket}/${url.prefix}`;
      same(parseStoreUrl(again), url, "read, written, read");
    } else {
      const uri = keyUri(text);
      same(`${keyScheme(uri)}://${keyName(uri)}`, text, "a key URI in its parts");
    }
  },
};

const OBJECT = { key: "p/a/b.pdf", sizeBytes: 5, etag: "e", lastModifiedMs: 1_700_000_000_000 };

export const filterTarget: Target = {
  name: "filter",
  seeds: [
    "minSize: 1.5G\nmaxSize: 2T",
    "minAge: 1h30m\nmaxAge: 2026-01-31T08:00:00.5+01:00",
    "include: *.pdf\nexclude: /a/**",
    "maxAge: 2026-01-31",
    "minSize: 10KiB",
  ],
  run: (bytes) => {
    const spec: Record<string, string | string[]> = {};
    const patterns = { include: [] as string[], exclude: [] as string[] };
    for (const [name, value] of pairsOf(textOf(bytes).split("\n"))) {
      if (/^(min|max)(Size|Age)$/.test(name)) spec[name] = value;
      if (name === "include" || name === "exclude") patterns[name].push(value);
    }
    if (patterns.include.length > 0) spec["include"] = patterns.include;
    if (patterns.exclude.length > 0) spec["exclude"] = patterns.exclude;
    const keeps = compileFilter(spec as FilterSpec, "p/");
    holds(typeof keeps(OBJECT, 1_800_000_000_000) === "boolean", "neither kept nor left out");
  },
};

/** By definition: slow, and short enough to be believed. */
function defined(pattern: string, key: string): boolean {
  const anchored = pattern.startsWith("/");
  const body = anchored ? pattern.slice(1) : pattern;
  const pieces = (body.endsWith("/") ? `${body}**` : body).match(/\\[^]|\*\*|\*|\?|[^]/gu) ?? [];
  const letters = Array.from(key);
  const memo = new Map<number, boolean>();
  const fits = (piece: number, at: number): boolean => {
    const place = piece * (letters.length + 1) + at;
    const known = memo.get(place);
    if (known !== undefined) return known;
    memo.set(place, false);
    const wanted = pieces[piece];
    const letter = letters[at];
    const goesOn = letter !== undefined && fits.length > 0;
    const found =
      wanted === undefined
        ? letter === undefined
        : wanted === "**"
          ? fits(piece + 1, at) || (goesOn && fits(piece, at + 1))
          : wanted === "*"
            ? fits(piece + 1, at) || (goesOn && letter !== "/" && fits(piece, at + 1))
            : goesOn &&
              (wanted === "?"
                ? letter !== "/"
                : letter === (wanted.length > 1 && wanted.startsWith("\\") ? wanted.slice(1) : wanted)) &&
              fits(piece + 1, at + 1);
    memo.set(place, found);
    return found;
  };
  const starts = anchored ? [0] : [0, ...letters.flatMap((letter, at) => (letter === "/" ? [at + 1] : []))];
  return starts.some((at) => fits(0, at));
}

export const globTarget: Target = {
  name: "glob",
  seeds: ["*.pdf\nx/a.pdf", "/a/**/c\na/b/b/c", "**a**b\naaab", "a?c\nabc", "tmp/\nx/tmp/a", "\\*\\[\n*["],
  run: (bytes) => {
    const [pattern, key] = split(textOf(bytes), "\n");
    const answer = compileGlob(pattern)(key);
    if (pattern.length * key.length < 4000)
      holds(answer === defined(pattern, key), `${JSON.stringify(pattern)} on ${JSON.stringify(key)}: ${answer}`);
  },
};

const FLAGS: Options = {
  json: { type: "boolean", short: "j", means: "" },
  region: { type: "string", value: "R", means: "" },
  transfers: { type: "string", means: "" },
  allow: { type: "string", multiple: true, means: "" },
};

export const flagsTarget: Target = {
  name: "flags",
  seeds: [
    "--json\n--region=eu\nfile",
    "--transfers\n8\n--allow\na\n--allow\nb\n--\n--x",
    "-j\n--no-json",
    "--regoin\nx",
  ],
  run: (bytes) => {
    const environment = readEnvironment({ HOME: "/h", SEALIFT_JSON: "yes" });
    const { flags } = parseLine(textOf(bytes).split("\n"), FLAGS, environment);
    const transfers = flags.number("transfers", 1, 1024);
    holds(transfers === undefined || (transfers >= 1 && transfers <= 1024), `transfers ${transfers}`);
    flags.required("region");
    holds(
      flags.list("allow").every((one) => typeof one === "string"),
      "a list of other things",
    );
  },
};

export const logTarget: Target = {
  name: "log",
  seeds: [
    "https://user:pass@host/ Bearer abcdefgh12345 X-Amz-Signature=00",
    "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
    '{"a":{"wrappedKey":"x","b":[1,{"token":"t"}]}}',
    "AKIAABCDEFGHIJKLMNOP",
  ],
  run: (bytes) => {
    const text = textOf(bytes);
    holds(!/[\p{Cc}\u202e\u2028]/u.test(printable(text)), "a terminal would obey it");
    const clean = scrubbed(text);
    holds(!/\bAKIA[A-Z0-9]{16}\b/.test(clean), "an access key id is left");
    try {
      redacted(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  },
};

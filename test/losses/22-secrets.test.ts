import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ENVELOPES } from "../../src/compose/envelopes.ts";
import { recognise } from "../../src/transfer/recognise.ts";
import { signal } from "../pipeline/world.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { getNear } from "./requests.ts";
import { inWorld, type LossWorld } from "./world.ts";

/** A key may leak as bytes, hex, base64 or a JSON text of its bytes. */
const spellings = (bytes: Buffer): Buffer[] => [
  bytes,
  Buffer.from(bytes.toString("hex")),
  Buffer.from(bytes.toString("base64").slice(0, 40)),
  Buffer.from(JSON.stringify(bytes.toString("latin1")).slice(1, -1)),
];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

/** Command lines and environments that other users of the machine could read in a list of processes: the first, not the second. */
async function commandLines(over: () => boolean): Promise<Set<string>> {
  const seen = new Set<string>();
  while (!over()) {
    for (const pid of await readdir("/proc").then((names) => names.filter((name) => /^\d+$/.test(name)))) {
      seen.add(await readFile(join("/proc", pid, "cmdline"), "utf8").catch(() => ""));
    }
    await sleep(50);
  }
  return seen;
}

/** Everything under the world's directory but the files in which its secrets were put. */
async function filesOf({ directory }: LossWorld): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name === "secretAccessKey") continue;
    const path = join(entry.parentPath, entry.name);
    found.set(path, await readFile(path));
  }
  return found;
}

/** The data keys that objects are under at the destination: for rewrapped ones those of the source too. */
async function dataKeys(world: LossWorld): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  for (const key of world.placed.keys()) {
    const head = await world.destination.head(key, signal);
    if (!head) continue;
    const { seal } = recognise(head, new Uint8Array(0), ENVELOPES);
    const opened = seal.wrapped && (await world.farKms.unwrap(seal.wrapped, seal.context, signal));
    if (!opened) continue;
    keys.push(Buffer.from(opened.dataKey.reveal()));
    opened.dataKey.wipe();
  }
  return keys;
}

const scan: Scenario = (build) =>
  inWorld({ build, far: "s3", options: { verify: "full" } }, async (world) => {
    for (const key of ["sealed", "failing", "more"]) await world.place(key);
    world.clouds.s3.faults.add({ match: getNear("failing"), answer: { status: 500 }, times: Number.POSITIVE_INFINITY });
    // A KMS that says in its refusal what it was sent: the data key of the only object that is sealed afresh.
    let told = "";
    await world.place("bare", { writer: null });
    world.clouds.awsKms.faults.add({
      match: ({ headers }) => headers["x-amz-target"] === "TrentService.Encrypt",
      // The preflight's own probes come first.
      skip: 2,
      answer: {
        status: 400,
        body: (sent) => {
          told = (JSON.parse(sent.toString()) as { Plaintext: string }).Plaintext;
          return JSON.stringify({ __type: "ValidationException", message: `Value '${told}' at 'plaintext' is odd` });
        },
      },
    });
    const [port, password] = [await freePort(), randomBytes(16).toString("hex")];
    await world.connection.config("SET", "port", String(port));
    await world.connection.config("SET", "requirepass", password);
    let over = false;
    const lines = commandLines(() => over);
    const env = { SEALIFT_REDIS: `redis://:${password}@127.0.0.1:${port}`, SEALIFT_LOG_LEVEL: "debug" };
    const run = await world.sealift(["run", await world.jobFile(), "--workers", "1", "--json"], env);
    over = true;
    const id = (JSON.parse(run.stdout.trim() || "{}") as { id?: string }).id ?? "";
    if (id === "") return [`the run did not go as planned: ${run.stdout}${run.stderr}`];
    const found = await findings(world, id, {
      failing: { outcome: "failed", code: "PROVIDER_ERROR" },
      bare: { outcome: "failed", code: "PROVIDER_REFUSED" },
    });
    // Redis writes its file once a second.
    await sleep(1500);
    const places = await filesOf(world);
    if (![...places.keys()].some((path) => path.includes("appendonly")))
      found.push("Redis's own file was not looked at");
    places.set("the log", Buffer.from(run.stdout + run.stderr));
    places.set("a command line", Buffer.from([...(await lines)].join("\n")));
    const { credentials } = world.clouds;
    const needles: [string, Buffer[]][] = [
      ["the secret of the credentials", [Buffer.from(credentials.secretAccessKey)]],
      ["the password of Redis", [Buffer.from(password)]],
      ...(await dataKeys(world)).map((key): [string, Buffer[]] => ["a data key", spellings(key)]),
    ];
    if (told !== "") needles.push(["a data key that a KMS repeated", spellings(Buffer.from(told, "base64"))]);
    if (told === "") found.push("the KMS was not asked to wrap");
    if (needles.length < 5) found.push(`only ${needles.length} secrets were looked for`);
    for (const [path, bytes] of places) {
      for (const [name, forms] of needles)
        if (forms.some((form) => bytes.includes(form)))
          found.push(`${name} is in ${path.replace(world.directory, "")}`);
    }
    return found;
  });

lossClass(22, "secrets in arguments, logs, Redis or the ledger", [
  {
    it: "a run whose KMS repeats what it was sent, and whose Redis has a password",
    scenario: scan,
    controls: [
      {
        without: "the withholding of messages that repeat what was sent",
        changes: [
          {
            module: "kms/answer",
            find: "if (secret !== undefined && message.includes(secret))",
            replace: "if (false)",
          },
        ],
        reports: /^a data key that a KMS repeated is in \/ledger\/.*done/m,
      },
      {
        without: "the environment as the way to the workers, and the refusal of passwords in arguments",
        changes: [
          { module: "cli/flags", find: "if (PASSWORD.test(token.value)) {", replace: "if (false) {" },
          {
            module: "cli/fleet",
            find: "spawn(process.execPath, [entry], {",
            replace: `spawn(process.execPath, [entry, "--redis", this.#options.environment.SEALIFT_REDIS], {`,
          },
        ],
        reports: /^the password of Redis is in a command line$/m,
      },
      {
        without: "the references in place of the credentials",
        changes: [
          {
            module: "pipeline/control",
            find: 'import { isRetried } from "./copier.js";',
            replace: 'import { isRetried } from "./copier.js"; import { secret } from "../config.js";',
          },
          {
            module: "pipeline/control",
            find: "const data = { ...job };",
            replace:
              'const data = JSON.parse(JSON.stringify(job), (_, value) => typeof value === "string" && value.startsWith("file:/") && !value.startsWith("file://") ? secret(value) : value);',
          },
        ],
        reports: /^the secret of the credentials is in \/ledger\/.*plan\.json/m,
      },
    ],
  },
]);

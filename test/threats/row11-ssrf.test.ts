/** Row 11. A job file, a ledger's address or an answer tries to send us, with our credentials, where nobody should be asked. */
import { lookup } from "node:dns";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { describeEndpoints } from "../../src/compose.ts";
import { openLedger } from "../../src/compose/work.ts";
import { parseJob } from "../../src/config/job.ts";
import { Budget } from "../../src/core/budget.ts";
import { asSealiftError } from "../../src/core/error.ts";
import { DataKey, keyUri } from "../../src/core/key.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import { type PocketGcs, startPocketGcs } from "../../src/pocket/gcs.ts";
import { openGcsStore } from "../../src/store/gcs/gcs.ts";
import { openS3Store } from "../../src/store/s3/s3.ts";
import { checkEndpoint, guardedLookup } from "../../src/wire/endpoint.ts";
import { HttpClient } from "../../src/wire/http.ts";
import { errorOf, once } from "../transfer/harness.ts";
import { NEVER } from "../transfer/wayward.ts";
import { listen, type Proxy, selfSigned } from "./proxy.ts";

const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
const buffer = new Budget(8 * 1024 * 1024);
const ARN = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000001";
const GCP = "projects/p/locations/l/keyRings/r/cryptoKeys/k";

/** Each of them reaches a metadata service in some resolver, URL parser or network. */
const FORMS = [
  "https://169.254.169.254",
  "https://169.254.169.254.",
  "http://169.254.170.2",
  "https://2852039166",
  "https://0xa9fea9fe",
  "https://0xA9.0xFE.0xA9.0xFE",
  "https://0251.0376.0251.0376",
  "https://169.254.43518",
  "https://169.16689662",
  "https://１６９．２５４．１６９．２５４",
  "https://[fe80::1]",
  "https://[fe80:0:0:0:0:0:a9fe:a9fe]",
  "https://[::ffff:169.254.169.254]",
  "https://[::ffff:a9fe:a9fe]",
  "https://[::169.254.169.254]",
  "https://[64:ff9b::169.254.169.254]",
  "https://[2002:a9fe:a9fe::1]",
  "https://[fd00:ec2::254]",
  "https://[fd00:ec2::23]",
  "https://[fd20:ce::254]",
  "https://100.100.100.200",
  "https://192.0.0.192",
  "https://168.63.129.16",
  "https://metadata",
  "https://metadata.google.internal",
  "https://METADATA.GOOGLE.INTERNAL.",
  "https://metadata.goog:80",
  "https://instance-data.ec2.internal",
  "https://good.example.com@169.254.169.254",
  "https://169.254.169.254@good.example.com",
  "https://169.254.169.254%2f@good.example.com",
  "https://good.example.com\\@169.254.169.254",
  "https://good.example.com/\\169.254.169.254",
  "https://good.example.com?@169.254.169.254",
  "https://good.example.com#@169.254.169.254",
];

const codeOf = async (act: () => unknown): Promise<string> => {
  try {
    await act();
    return "accepted";
  } catch (error) {
    return asSealiftError(error).code;
  }
};

describe("a metadata address", () => {
  it.each(FORMS)("%s is no endpoint, whatever the job allows", async (endpoint) => {
    expect(await codeOf(() => checkEndpoint(endpoint, { allowInsecure: true }))).toBe("ENDPOINT_REFUSED");
  });

  it("is refused by every driver, and as the ledger's endpoint", async () => {
    for (const endpoint of ["https://169.254.169.254", "https://[64:ff9b::a9fe:a9fe]", "http://2852039166"]) {
      const reach = { endpoint, allowInsecureEndpoint: true };
      const refused: Record<string, () => unknown> = {
        S3: () => openS3Store({ bucket: "bucket", region: "us-east-1", credentials, buffer, ...reach }),
        GCS: () => openGcsStore({ bucket: "bucket", anonymous: true, buffer, ...reach }),
        "AWS KMS": () =>
          openAwsKms({ region: "us-east-1", credentials, ...reach }).check(keyUri(`aws-kms://${ARN}`), "wrap", NEVER),
        "Cloud KMS": () => openGcpKms({ anonymous: true, ...reach }),
        "Cloud KMS by gRPC": () => openGcpKms({ anonymous: true, transport: "grpc", ...reach, grpcEndpoint: endpoint }),
        "the ledger": () => openLedger({ url: "s3://bucket/ledger", region: "us-east-1", endpoint }),
        "the ledger at Google": () => openLedger({ url: "gs://bucket/ledger", anonymous: true, endpoint }),
      };
      for (const [name, act] of Object.entries(refused)) {
        expect(`${name}: ${await codeOf(act)}`).toBe(`${name}: ENDPOINT_REFUSED`);
      }
    }
  });

  it("is refused where the environment names it", async () => {
    for (const name of ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]) {
      process.env[name] = "http://169.254.170.2";
      try {
        const open = () => openS3Store({ bucket: "bucket", region: "us-east-1", credentials, buffer });
        expect(await codeOf(open)).toBe("ENDPOINT_REFUSED");
      } finally {
        delete process.env[name];
      }
    }
  });

  it("does not come in by a bucket's name or a Region's", async () => {
    const options = { region: "us-east-1", credentials, buffer };
    for (const bucket of ["169.254.169.254", "169.254.169.254#", "169.254.169.254/x", "a@169.254.169.254"]) {
      const end = await openS3Store({ ...options, bucket }).then(
        async (store) => {
          await store.close();
          return store.name;
        },
        (error: unknown) => asSealiftError(error).code,
      );
      expect(end).toMatch(/^(JOB_INVALID|ENDPOINT_REFUSED|INTERNAL|s3:.* at https:\/\/[\w.-]*amazonaws\.com)$/);
    }
    const job = (source: object) => () =>
      parseJob(
        JSON.stringify({
          apiVersion: "sealift/v1",
          kind: "Migration",
          source: { url: "s3://bucket", ...source },
          destination: { url: "gs://far" },
          keys: { wrapWith: `gcp-kms://${GCP}` },
        }),
        "job",
      );
    expect(job({ region: "x.evil.example/" })).toThrow(/region/);
    expect(job({ endpoint: "https://u:p@169.254.169.254" })).toThrow(/endpoint/);
    // What may be asked is shown to whoever signs the plan.
    expect(describeEndpoints(job({ endpoint: "https://s3.example.com" })()).join("\n")).toContain(
      "at https://s3.example.com",
    );
  });
});

/** A resolver that knows one name. */
const resolver = (...addresses: string[]) =>
  ((_name: string, _options: object, done: (error: null, found: { address: string; family: number }[]) => void) =>
    done(
      null,
      addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    )) as unknown as typeof lookup;

describe.each(["socket", "undici"] as const)("by %s, a name that leads to", (kind) => {
  let server: Proxy;
  let port = "";
  beforeAll(async () => {
    server = await listen((_request, response) => response.end("here"));
    ({ port } = new URL(server.url));
  });
  afterAll(() => server.close());

  const ask = async (name: string, ...addresses: string[]): Promise<string> => {
    const http = new HttpClient({
      origin: `http://${name}:${port}`,
      lookup: guardedLookup(resolver(...addresses)),
      http: kind,
    });
    try {
      const response = await http.send({ method: "GET", path: "/", headers: {}, signal: NEVER });
      return await response.text();
    } catch (error) {
      return `${asSealiftError(error).code}: ${asSealiftError(error).message}`;
    } finally {
      await http.close();
    }
  };

  it("this machine is connected to: the control", async () => {
    expect(await ask("store.example.com", "127.0.0.1")).toBe("here");
    expect(await ask("localhost", "127.0.0.1")).toBe("here");
  });

  it.each(["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "100.100.100.200"])(
    "%s is not connected to, alone or among others",
    async (address) => {
      expect(await ask("store.example.com", address)).toMatch(/^ENDPOINT_REFUSED: .*leads to/);
      expect(await ask("store.example.com", "127.0.0.1", address)).toMatch(/^ENDPOINT_REFUSED/);
    },
  );

  it("another machine, and counts as this one by its name, is not spoken to in the clear", async () => {
    expect(await ask("localhost", "192.0.2.1")).toMatch(/^ENDPOINT_REFUSED: .*this machine by its name/);
    expect(await ask("evil.localhost", "127.0.0.1", "192.0.2.1")).toMatch(/^ENDPOINT_REFUSED/);
  });

  it("first one address and then another is judged at each connection", async () => {
    const answers = ["127.0.0.1", "169.254.169.254"];
    const turn = ((name: string, options: object, done: never) =>
      (resolver(answers.shift() ?? "") as (...call: unknown[]) => void)(
        name,
        options,
        done,
      )) as unknown as typeof lookup;
    const check = guardedLookup(turn);
    const once_ = () =>
      new Promise((resolve) =>
        check("rebinding.example.com", { all: true }, (error, found) => resolve(error?.message ?? found)),
      );
    expect(await once_()).toEqual([{ address: "127.0.0.1", family: 4 }]);
    expect(await once_()).toMatch(/leads to 169\.254\.169\.254/);
  });

  it("(an address that is one by its own text is not connected to either)", () => {
    for (const origin of ["http://169.254.169.254", "https://[fd00:ec2::254]"]) {
      expect(() => new HttpClient({ origin, http: kind })).toThrow(/metadata address/);
    }
  });

  it("(the guard is what HttpClient uses unless a test says otherwise)", async () => {
    const http = new HttpClient({ origin: `http://localhost:${port}`, http: kind });
    const response = await http.send({ method: "GET", path: "/", headers: {}, signal: NEVER });
    expect(await response.text()).toBe("here");
    await http.close();
    const found = await new Promise((resolve) =>
      guardedLookup()("localhost", { family: 4 }, (_error, address) => resolve(address)),
    );
    expect(found).toBe("127.0.0.1");
  });
});

describe("a redirect", () => {
  const closing: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  it.each([301, 302, 303, 307, 308])(
    "with status %i is followed by nobody, and no header of ours reaches the other side",
    async (status) => {
      const evil = await listen((_request, response) => response.end("{}"));
      const door = await listen((request, response) => {
        request.resume();
        response.writeHead(status, { location: `${evil.url}/latest/meta-data/` }).end();
      });
      closing.push(...[evil, door].map((one) => () => one.close()));
      const s3 = await openS3Store({
        bucket: "b",
        region: "us-east-1",
        credentials,
        buffer,
        endpoint: door.url,
        pathStyle: true,
      });
      const gcs = await openGcsStore({ bucket: "b", anonymous: true, buffer, endpoint: door.url });
      const aws = openAwsKms({ region: "us-east-1", credentials, endpoint: door.url });
      const gcp = openGcpKms({ anonymous: true, endpoint: door.url });
      closing.push(...[s3, gcs, aws, gcp].map((one) => () => one.close()));
      using dataKey = new DataKey(Buffer.alloc(32, 1));
      const put = { sizeBytes: 3, attributes: { metadata: new Map() }, condition: "absent" as const, signal: NEVER };
      for (const act of [
        () => s3.head("x", NEVER),
        () => s3.open("x", { signal: NEVER }),
        () => s3.put("x", once(Buffer.from("abc")), put),
        () => gcs.head("x", NEVER),
        () => gcs.open("x", { signal: NEVER }),
        () => gcs.put("x", once(Buffer.from("abc")), put),
        () => aws.wrap(keyUri(`aws-kms://${ARN}`), dataKey, new Map(), NEVER),
        () => gcp.wrap(keyUri(`gcp-kms://${GCP}`), dataKey, new Map(), NEVER),
      ]) {
        expect(await codeOf(act)).not.toBe("accepted");
      }
      expect(door.seen.length).toBeGreaterThanOrEqual(8);
      expect(evil.seen).toEqual([]);
    },
  );

  it("in disguise, an upload session on another host, takes neither bytes nor tokens there", async () => {
    const pocket: PocketGcs = await startPocketGcs();
    pocket.createBucket("bucket");
    const evil = await listen((_request, response) => response.end("{}"), selfSigned());
    closing.push(...[evil, pocket].map((one) => () => one.close()));
    const CHUNK = 256 * 1024;
    const store = await openGcsStore({
      bucket: "bucket",
      anonymous: true,
      endpoint: pocket.url,
      chunkBytes: CHUNK,
      buffer: new Budget(CHUNK * 8),
    });
    closing.push(() => store.close());
    pocket.faults.add({
      match: ({ query, method }) => method === "POST" && query.get("uploadType") === "resumable",
      answer: { status: 200, headers: { location: `${evil.url}/upload/storage/v1/b/bucket/o?upload_id=stolen` } },
    });
    const body = Buffer.alloc(CHUNK * 6, 1);
    const put = {
      sizeBytes: body.length,
      attributes: { metadata: new Map() },
      condition: "absent" as const,
      signal: NEVER,
    };
    const error = await errorOf(store.put("large", once(body), put));
    expect(error.code).not.toBe("INTERNAL");
    expect(evil.seen).toEqual([]);
  });
});

/**
 * An official client as a process. Each is a small program in its own language that reads lines of JSON from stdin and answers each
 * with one line on stdout, in order:
 *
 *   first         the clouds (Clouds)            -> {"version": "4.0.0"}
 *   then, often   a WriteRequest                 -> {} or {"error": "the client's own words"}
 *                 a ReadRequest                  -> {"sizeBytes": 1, "sha256": "hex"} or {"error": ...}
 *
 * Libraries that know no store work on files, and whoever asks puts those into stores:
 *
 *   then, often   a SealRequest                  -> {"metadata": {}} or {"error": ...}
 *                 an OpenRequest                 -> as a ReadRequest
 *
 * One process serves all requests: a virtual machine takes longer to start than hundreds of objects to read.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Where the clouds are, and the keys of clients without a KMS: `aes` 32 bytes, `rsa` PKCS #8, `rsaPublic` SPKI, all base64. */
export interface Clouds {
  readonly s3: string;
  readonly kms: string;
  readonly gcpKms: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly aes: string;
  readonly rsa: string;
  readonly rsaPublic: string;
}

/** How a client is told to seal: the generation of its classes, and what they can be asked for. */
export interface Style {
  readonly generation: 1 | 2 | 3;
  readonly body: "cbc" | "gcm";
  readonly wrap: "kms" | "aes" | "rsa";
  readonly place: "metadata" | "file";
}

export interface WriteRequest extends Style {
  readonly op: "write";
  readonly bucket: string;
  readonly key: string;
  /** The plaintext. */
  readonly file: string;
  /** ARN; used where `wrap` is `kms`. */
  readonly kmsKey: string;
  /** Encryption context under a KMS, materials description under a bare key. */
  readonly context: Readonly<Record<string, string>>;
}

export interface ReadRequest {
  readonly op: "read";
  readonly bucket: string;
  readonly key: string;
  readonly kmsKey: string;
  /** The pairs that are bound to the data key and compared with what the application says. */
  readonly context: Readonly<Record<string, string>>;
  /** All pairs of the envelope that are the application's own, compared or not. */
  readonly description: Readonly<Record<string, string>>;
  /** `default`: as the client comes. `legacy`: with every older mode allowed that it has a switch for. */
  readonly mode: Mode;
}

export type Mode = "default" | "legacy";

interface MessageRequest {
  readonly file: string;
  readonly wrap: "kms" | "gcp" | "aes" | "rsa";
  /** ARN or resource name; used where `wrap` is `kms` or `gcp`. */
  readonly kmsKey: string;
  /** What the message is bound to. */
  readonly context: Readonly<Record<string, string>>;
  /** What the format offers: a suite, a template, a version. */
  readonly variant: string;
}

export interface SealRequest extends MessageRequest {
  readonly op: "seal";
  /** The file to write. */
  readonly out: string;
}

export interface OpenRequest extends MessageRequest {
  readonly op: "open";
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly error?: string;
  /** What has to stand beside a sealed body. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly sizeBytes?: number;
  readonly sha256?: string;
}

export interface OpenClient {
  readonly version: string;
  ask(request: WriteRequest | ReadRequest | SealRequest | OpenRequest): Promise<Answer>;
  close(): Promise<void>;
}

/** Throws where the program does not come up, with what it said on stderr. */
export async function openClient(command: readonly string[], clouds: Clouds): Promise<OpenClient> {
  const [program = "", ...words] = command;
  const child = spawn(program, words, { stdio: "pipe", env: quietEnvironment() });
  const line = answers(child);
  const say = (value: object): Promise<string> => {
    const heard = line();
    child.stdin.write(`${JSON.stringify(value)}\n`);
    return heard;
  };
  const { version } = JSON.parse(await say(clouds)) as { version: string };
  return {
    version,
    ask: async (request) => JSON.parse(await say(request)) as Answer,
    close: async () => {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.stdin.end();
      await ended;
    },
  };
}

/** Nothing of the machine's own account: a request that goes astray must find no credentials. */
function quietEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG } = process.env;
  return { PATH, HOME, LANG: LANG ?? "C.UTF-8", AWS_EC2_METADATA_DISABLED: "true", PYTHONDONTWRITEBYTECODE: "1" };
}

/** Each call waits for one more line; all fail once the process has ended. */
function answers(child: ChildProcessWithoutNullStreams): () => Promise<string> {
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  let ended: Error | undefined;
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints = (complaints + text).slice(-4000)));
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift()?.resolve(line));
  const end = (why: string) => {
    ended = new Error(`${child.spawnfile} ${why}: ${complaints}`);
    for (const one of waiting.splice(0)) one.reject(ended);
  };
  child.once("error", (error) => end(error.message)).once("close", (code) => end(`ended with ${code}`));
  child.stdin.on("error", () => undefined);
  return () =>
    new Promise((resolve, reject) => {
      if (ended) reject(ended);
      else waiting.push({ resolve, reject });
    });
}

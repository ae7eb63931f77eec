/**
 * A key service that keeps to a pace: any driver, with every call under the limiter of the resource that it draws on. AWS KMS rations
 * by account and Region, all cryptographic operations together; Google Cloud KMS by project and location. Whose ration it is comes
 * from the key's own name; AWS counts against the account that calls, so keys of several accounts used by one caller are paced
 * apart although they draw on one quota, which costs evenness and nothing else.
 */
import type { Ceiling, Clock, Pace } from "../core/pace.ts";
import { type KeyScheme, type KeyUri, keyName, keyScheme, type WrappedKey } from "../core/key.ts";
import type { Kms } from "./kms.ts";
import { Limiter } from "./limiter/limiter.ts";

/** Key names come out of envelopes; past this many resources, those of one provider share a pace. */
const RESOURCES_MAX = 256;
const AWS_ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):/;
const GCP_NAME = /^projects\/([\w:.-]+)\/locations\/([\w-]+)\//;

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, Math.ceil(ms));
    return () => clearTimeout(timer);
  },
};

/** The limiters of one process, one for each resource. */
export class Limiters {
  readonly #limiters = new Map<string, Limiter>();
  readonly #clock: Clock;

  constructor(clock: Clock = SYSTEM_CLOCK) {
    this.#clock = clock;
  }

  of(resource: string): Limiter {
    const isFull = this.#limiters.size >= RESOURCES_MAX && !this.#limiters.has(resource);
    const name = isFull ? `${resource.slice(0, resource.indexOf("/"))}/others` : resource;
    const known = this.#limiters.get(name);
    if (known) return known;
    const limiter = new Limiter(name, this.#clock);
    this.#limiters.set(name, limiter);
    return limiter;
  }

  /** Of those that were asked for anything. */
  get paces(): readonly Pace[] {
    return [...this.#limiters.values()].map(({ pace }) => pace).filter(({ requests }) => requests > 0);
  }
}

/** Whose ration a key draws on; undefined where its name does not say (an alias or bare id of AWS), or nobody rations (local keys). */
export function resourceOf(key: KeyUri): string | undefined {
  const scheme = keyScheme(key);
  if (scheme.startsWith("local")) return undefined;
  const [, first, second] = (scheme === "aws-kms" ? AWS_ARN : GCP_NAME).exec(keyName(key)) ?? [];
  if (first === undefined || second === undefined) return undefined;
  return scheme === "aws-kms" ? `${scheme}/${second}/${first}` : `${scheme}/${first}/${second}`;
}

/** The one resource of all these keys, where they have one. */
export function sharedResource(keys: readonly KeyUri[]): string | undefined {
  const all = new Set(keys.map(resourceOf));
  return all.size === 1 ? [...all][0] : undefined;
}

export interface LimitOptions {
  readonly limiters: Limiters;
  /** The driver opens everything with this key, whatever an envelope says. */
  readonly only?: KeyUri | undefined;
  /** What calls draw on whose key does not name its resource. */
  readonly home: string;
  /** Requests a second, of all processes that share the ceiling. */
  readonly perSecond?: number | undefined;
  readonly ceiling: Ceiling;
}

export const limitKms = (kms: Kms, options: LimitOptions): Kms =>
  kms.scheme.startsWith("local") ? kms : new Limited(kms, options).driver();

class Limited {
  readonly #kms: Kms;
  readonly #options: LimitOptions;
  readonly #holds = new Map<Limiter, () => void>();

  constructor(kms: Kms, options: LimitOptions) {
    this.#kms = kms;
    this.#options = options;
  }

  /** Calls that are refused before anything is sent cost no permit; whatever the driver cannot do, the limited one cannot either. */
  driver(): Kms {
    const kms = this.#kms;
    const rewrap = kms.rewrap?.bind(kms);
    return {
      scheme: kms.scheme,
      wrap: (key, dataKey, context, signal, form) =>
        this.#run(key, signal, () => kms.wrap(key, dataKey, context, signal, form), keyScheme(key)),
      unwrap: (wrapped, context, signal, form) =>
        this.#run(this.#opener(wrapped), signal, () => kms.unwrap(wrapped, context, signal, form), wrapped.scheme),
      ...(rewrap && {
        rewrap: (wrapped, from, to, context, signal) =>
          this.#run(this.#opener(wrapped), signal, () => rewrap(wrapped, from, to, context, signal), wrapped.scheme),
      }),
      ...(kms.canRewrap && { canRewrap: kms.canRewrap.bind(kms) }),
      check: (key, use, signal) => this.#run(key, signal, () => kms.check(key, use, signal), keyScheme(key)),
      close: async () => {
        for (const release of this.#holds.values()) release();
        this.#holds.clear();
        await kms.close();
      },
    };
  }

  #opener(wrapped: WrappedKey): KeyUri | undefined {
    return this.#options.only ?? wrapped.uri;
  }

  #run<T>(key: KeyUri | undefined, signal: AbortSignal, call: () => Promise<T>, scheme: KeyScheme): Promise<T> {
    if (scheme !== this.#kms.scheme) return call();
    const { limiters, home, perSecond, ceiling } = this.#options;
    const limiter = limiters.of((key && resourceOf(key)) ?? home);
    if (perSecond !== undefined && !this.#holds.has(limiter))
      this.#holds.set(limiter, limiter.hold(perSecond, ceiling));
    return limiter.run(call, signal);
  }
}

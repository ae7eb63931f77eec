import { setMaxListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { SealiftError } from "../../src/core/error.ts";
import { DataKey, keyUri, type KeyUri } from "../../src/core/key.ts";
import { type Ceiling, OwnCeiling } from "../../src/core/pace.ts";
import { openAwsKms } from "../../src/kms/aws.ts";
import { openGcpKms } from "../../src/kms/gcp/gcp.ts";
import { openLocalKms } from "../../src/kms/local.ts";
import { limitKms, Limiters, resourceOf, sharedResource } from "../../src/kms/limiter.ts";
import { Limiter } from "../../src/kms/limiter/limiter.ts";
import { START_RATE } from "../../src/kms/limiter/rate.ts";
import { startPocketAwsKms } from "../../src/pocket/awskms.ts";
import { startPocketGcpKms } from "../../src/pocket/gcpkms.ts";
import { kmsSuite } from "./kms.suite.ts";
import { SharedQuota, throttle, VirtualClock } from "./simulation.ts";

const never = new AbortController().signal;
setMaxListeners(0, never);

/** In one process, on the given clock. */
const ceilingOn = (clock: VirtualClock): Ceiling => new OwnCeiling(() => clock.now());
const own: Ceiling = ceilingOn(new VirtualClock());

kmsSuite("aws, under a limiter", async () => {
  const pocket = await startPocketAwsKms();
  const [key, otherKey, third] = [pocket.createKey(), pocket.createKey(), pocket.createKey()].map((arn) =>
    keyUri(`aws-kms://${arn}`),
  ) as [KeyUri, KeyUri, KeyUri];
  const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
  const driver = openAwsKms({ endpoint: pocket.url, region: "us-east-1", credentials });
  const kms = limitKms(driver, { limiters: new Limiters(), home: "aws-kms/default/us-east-1", ceiling: own });
  const cleanup = async () => {
    await kms.close();
    await pocket.close();
  };
  const disabled = { key: third, disable: () => pocket.disable(third.slice(10)) };
  return { kms, key, otherKey, unknownKey: `${key}0` as KeyUri, disabled, cleanup };
});

kmsSuite(
  "gcp, under a limiter",
  async () => {
    const pocket = await startPocketGcpKms();
    const [key, otherKey, third] = ["one", "two", "three"].map((name) =>
      keyUri(`gcp-kms://${pocket.createKey(name)}`),
    ) as [KeyUri, KeyUri, KeyUri];
    const driver = openGcpKms({ endpoint: pocket.url, anonymous: true });
    const kms = limitKms(driver, { limiters: new Limiters(), home: "gcp-kms/default/global", ceiling: own });
    const cleanup = async () => {
      await kms.close();
      await pocket.close();
    };
    const disabled = { key: third, disable: () => pocket.disable(third.slice("gcp-kms://".length)) };
    return { kms, key, otherKey, unknownKey: `${key}0` as KeyUri, disabled, cleanup };
  },
  { skip: { "rewrap opens under the new key and context only": "Google KMS has no ReEncrypt" } },
);

describe("the pace of one resource", () => {
  const scene = () => {
    const clock = new VirtualClock();
    return { clock, limiter: new Limiter("r", clock) };
  };

  it("calls go out in the order in which they came, the throttled one before all later ones", async () => {
    const { clock, limiter } = scene();
    const begun: string[] = [];
    let throttles = 3;
    const call = (name: string) => async () => {
      begun.push(name);
      await clock.sleep(1);
      if (name === "b" && throttles-- > 0) throw throttle();
      return name;
    };
    const all = ["a", "b", "c", "d"].map((name) => limiter.run(call(name), never));
    await clock.runUntil(10_000);
    expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
    expect(begun.filter((name) => name !== "b")).toEqual(["a", "c", "d"]);
    expect(begun.lastIndexOf("b")).toBeLessThan(begun.indexOf("d"));
  });

  it("a throttled call is made again for as long as it takes, and no caller sees a throttle", async () => {
    const { clock, limiter } = scene();
    let throttles = 500;
    const answer = limiter.run(async () => {
      if (throttles-- > 0) throw throttle();
      return "done";
    }, never);
    await clock.runUntil(3_600_000);
    expect(await answer).toBe("done");
    expect(limiter.pace).toMatchObject({ requests: 501, throttled: 500 });
  });

  it("never stops asking, and never asks more than once a second, where everything is throttled", async () => {
    const { clock, limiter } = scene();
    const stop = new AbortController();
    const answer = limiter.run(async () => {
      throw throttle();
    }, stop.signal);
    await clock.runUntil(60_000);
    const { requests } = limiter.pace;
    await clock.runUntil(120_000);
    expect(limiter.pace.requests - requests).toBeGreaterThan(30);
    // Growth between two cuts lets it ask a little more often than the floor.
    expect(limiter.pace.requests - requests).toBeLessThan(300);
    const reason = new Error("enough");
    stop.abort(reason);
    await expect(answer).rejects.toBe(reason);
  });

  it("other errors pass at once and slow nothing", async () => {
    const { clock, limiter } = scene();
    const error = new SealiftError("NET_TIMEOUT", "late");
    await expect(limiter.run(() => Promise.reject(error), never)).rejects.toBe(error);
    await clock.runUntil(1000);
    await expect(limiter.run(() => Promise.reject(new TypeError("a defect")), never)).rejects.toThrow(TypeError);
    expect(limiter.pace).toMatchObject({ throttled: 0, rate: START_RATE });
  });

  it("whoever stops waiting leaves the queue, and those behind move up", async () => {
    const { clock, limiter } = scene();
    const stop = new AbortController();
    const begun: number[] = [];
    const all = Array.from({ length: 20 }, (_, i) =>
      limiter.run(async () => void begun.push(i), i % 2 === 0 ? never : stop.signal).catch((error: unknown) => error),
    );
    stop.abort("gone");
    await clock.runUntil(1000);
    expect((await Promise.all(all)).filter((end) => end === "gone").length).toBeGreaterThan(5);
    expect(begun.filter((i) => i % 2 === 0)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
    await expect(limiter.run(async () => 1, AbortSignal.abort("before"))).rejects.toBe("before");
  });

  it("Retry-After is honoured, up to five minutes", async () => {
    for (const [askedMs, waitedMs] of [
      [7000, 7000],
      [86_400_000, 300_000],
    ] as const) {
      const { clock, limiter } = scene();
      const at: number[] = [];
      void limiter.run(async () => {
        at.push(clock.now());
        if (at.length === 1) throw throttle(askedMs);
      }, never);
      await clock.runUntil(1_000_000);
      expect(at).toEqual([0, waitedMs]);
    }
  });

  it("one burst of throttles is one cut, and many round trips later another", async () => {
    const { clock, limiter } = scene();
    let throttling = true;
    const lane = async () => {
      for (;;) {
        await limiter.run(async () => {
          await clock.sleep(30);
          if (throttling) throw throttle();
        }, never);
      }
    };
    for (let i = 0; i < 3; i++) void lane();
    await clock.runUntil(60);
    expect(limiter.pace.throttled).toBeGreaterThanOrEqual(2);
    // A cut of what it was, and not of a cut.
    expect(limiter.pace.rate / (START_RATE * 0.7)).toBeCloseTo(1, 1);
    throttling = false;
    await clock.runUntil(30_000);
    throttling = true;
    const before = limiter.pace.rate;
    await clock.runUntil(30_070);
    expect(limiter.pace.rate).toBeLessThan(before * 0.75);
  });

  it("a rate that nobody tries does not grow, however long it lasts", async () => {
    const { clock, limiter } = scene();
    for (let second = 1; second <= 300; second++) {
      await limiter.run(async () => undefined, never);
      await clock.runUntil(second * 1000);
    }
    expect(limiter.pace.rate).toBe(START_RATE);
  });

  it("finds the quota: it uses most of it and is throttled seldom", async () => {
    const { clock, limiter } = scene();
    const quota = new SharedQuota(300, clock);
    let answered = 0;
    const lane = async () => {
      for (;;) {
        await limiter.run(async () => {
          await clock.sleep(10);
          if (!quota.take()) throw throttle();
        }, never);
        answered++;
      }
    };
    for (let i = 0; i < 16; i++) void lane();
    await clock.runUntil(300_000);
    expect(answered).toBeGreaterThan(300 * 300 * 0.75);
    expect(limiter.pace.throttled).toBeLessThan(answered * 0.01);
    expect(limiter.pace.achieved).toBeGreaterThan(150);
  });
});

describe("a ceiling", () => {
  const saturate = (clock: VirtualClock, limiter: Limiter, at: number[]) => {
    const lane = async () => {
      for (;;) {
        await limiter.run(async () => {
          at.push(clock.now());
          await clock.sleep(5);
        }, never);
      }
    };
    for (let i = 0; i < 64; i++) void lane();
  };
  const mostInASecond = (at: readonly number[]) => {
    const sorted = [...at].sort((a, b) => a - b);
    let [most, first] = [0, 0];
    sorted.forEach((time, last) => {
      while ((sorted[first] as number) <= time - 1000) first++;
      most = Math.max(most, last - first + 1);
    });
    return most;
  };

  it.each([1, 7, 100, 1000])("of %i a second is reached and never passed, by four that share it", async (perSecond) => {
    const clock = new VirtualClock();
    const ceiling = ceilingOn(clock);
    const each = Array.from({ length: 4 }, () => {
      const limiter = new Limiter("r", clock);
      limiter.hold(perSecond, ceiling);
      const at: number[] = [];
      saturate(clock, limiter, at);
      return at;
    });
    await clock.runUntil(60_000);
    const all = each.flat();
    // Permits may be used up to 150 ms late; once all run at the ceiling's own pace, nearly none is.
    expect(mostInASecond(all)).toBeLessThanOrEqual(perSecond * 1.15 + 1);
    const late = all.filter((time) => time > 30_000);
    expect(mostInASecond(late)).toBeLessThanOrEqual(perSecond * 1.02 + 1);
    expect(late.length).toBeGreaterThan(perSecond * 30 * 0.95 - 4);
    for (const at of each) expect(at.length).toBeGreaterThan((all.length / 4) * 0.9 - 4);
  });

  it("the strictest of two counts, until its holder lets go", async () => {
    const clock = new VirtualClock();
    const limiter = new Limiter("r", clock);
    limiter.hold(200, ceilingOn(clock));
    const release = limiter.hold(20, ceilingOn(clock));
    const at: number[] = [];
    saturate(clock, limiter, at);
    await clock.runUntil(30_000);
    expect(at.length).toBeLessThanOrEqual(20 * 31);
    release();
    await clock.runUntil(60_000);
    expect(at.length).toBeGreaterThan(20 * 31 + 200 * 15);
  });

  it("that fails against its contract stalls and never exceeds", async () => {
    const clock = new VirtualClock();
    const limiter = new Limiter("r", clock);
    let failures = 3;
    const ceiling = ceilingOn(clock);
    limiter.hold(10, {
      lease: async (...asked) => {
        if (failures-- > 0) throw new Error("against the contract");
        return ceiling.lease(...asked);
      },
    });
    const at: number[] = [];
    saturate(clock, limiter, at);
    await clock.runUntil(10_000);
    expect(at[0]).toBeGreaterThanOrEqual(3000);
    expect(mostInASecond(at)).toBeLessThanOrEqual(11);
  });
});

describe("whose ration it is", () => {
  const AWS = keyUri("aws-kms://arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab");
  const GCP = keyUri("gcp-kms://projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k");

  it("comes from the key's own name", () => {
    expect(resourceOf(AWS)).toBe("aws-kms/111122223333/eu-central-1");
    expect(resourceOf(keyUri("aws-kms://arn:aws-cn:kms:cn-north-1:111122223333:alias/a"))).toBe(
      "aws-kms/111122223333/cn-north-1",
    );
    expect(resourceOf(GCP)).toBe("gcp-kms/p/europe-west3");
    expect(resourceOf(keyUri("aws-kms://alias/a"))).toBeUndefined();
    expect(resourceOf(keyUri("local://k"))).toBeUndefined();
    expect(sharedResource([AWS, `${AWS}0` as KeyUri])).toBe("aws-kms/111122223333/eu-central-1");
    expect(sharedResource([AWS, GCP])).toBeUndefined();
    expect(sharedResource([])).toBeUndefined();
  });

  it("envelopes that name thousands of accounts make no thousand limiters", () => {
    const limiters = new Limiters(new VirtualClock());
    const all = new Set(Array.from({ length: 5000 }, (_, i) => limiters.of(`aws-kms/${i}/eu-central-1`)));
    expect(all.size).toBe(257);
    expect(limiters.of("aws-kms/99999/x").resource).toBe("aws-kms/others");
    expect(limiters.of("gcp-kms/99999/x").resource).toBe("gcp-kms/others");
  });

  it("keys that name nothing draw on the home of their side, a pinned key on its own", async () => {
    const pocket = await startPocketAwsKms();
    const key = keyUri(`aws-kms://${pocket.createKey()}`);
    const limiters = new Limiters();
    const credentials = { accessKeyId: "pocket", secretAccessKey: "pocket-secret" };
    const open = (only?: KeyUri) => {
      const driver = openAwsKms({ endpoint: pocket.url, region: "us-east-1", credentials, only });
      return limitKms(driver, { limiters, only, home: "aws-kms/home/us-east-1", ceiling: own });
    };
    const [free, pinned] = [open(), open(key)];
    using dataKey = new DataKey(Buffer.alloc(32, 1));
    const { scheme, bytes } = await free.wrap(key, dataKey, new Map(), never);
    const requests = () => Object.fromEntries(limiters.paces.map((pace) => [pace.resource, pace.requests]));
    expect(requests()).toEqual({ "aws-kms/000000000000/us-east-1": 1 });
    (await free.unwrap({ scheme, bytes }, new Map(), never))?.dataKey.wipe();
    expect(requests()).toEqual({ "aws-kms/000000000000/us-east-1": 1, "aws-kms/home/us-east-1": 1 });
    (await pinned.unwrap({ scheme, bytes }, new Map(), never))?.dataKey.wipe();
    expect(requests()).toEqual({ "aws-kms/000000000000/us-east-1": 2, "aws-kms/home/us-east-1": 1 });
    await Promise.all([free.close(), pinned.close(), pocket.close()]);
  });

  it("local keys are nobody's ration", () => {
    const kms = openLocalKms({ directory: "/nowhere" });
    expect(limitKms(kms, { limiters: new Limiters(), home: "local", ceiling: own })).toBe(kms);
  });
});

/** Clouds that are slow, fail, cut bodies, lose answers, and key services that refuse for a while. */
import type { Fault, PocketRequest } from "../../../src/pocket/http.ts";
import { type Clouds, isListing, isRead, isUpload } from "../clouds.ts";
import type { Harm, NamedHarm } from "./harm.ts";

type Place = keyof Clouds["weather"];

const STORM_MS = [1500, 6000] as const;

/** A share of the requests that match, for a few seconds. */
const storm =
  (place: Place, fault: Omit<Fault, "times" | "match">, match: (request: PocketRequest) => boolean, part = 0.6): Harm =>
  async ({ world, random }) => {
    const ms = random.int(...STORM_MS);
    const chance = random.fork(`${place}${ms}`);
    world.clouds.weather[place].storm(fault, (request) => match(request) && chance.chance(part), ms);
    return `${place} for ${ms} ms`;
  };

const answer = (status: number, body = "no") => ({ answer: { status, body } });
const any = () => true;
/** As AWS KMS and Google KMS refuse. */
const denied = {
  answer: {
    status: 403,
    body: JSON.stringify({
      __type: "AccessDeniedException",
      message: "no",
      error: { code: 403, status: "PERMISSION_DENIED" },
    }),
  },
};
const throttled = {
  answer: {
    status: 429,
    body: JSON.stringify({
      __type: "ThrottlingException",
      message: "slow",
      error: { code: 429, status: "RESOURCE_EXHAUSTED" },
    }),
  },
};

const keyDisabled: Harm = async ({ world, random }) => {
  const { awsKms, sourceKey } = world.clouds;
  const ms = random.int(...STORM_MS);
  awsKms.disable(sourceKey);
  setTimeout(() => awsKms.enable(sourceKey), ms).unref();
  return `for ${ms} ms`;
};

const refusedListing: Harm = async ({ world }) => {
  let left = 1;
  world.clouds.weather.source.storm(answer(403), (request) => isListing(request) && left-- > 0, 5000);
  return "one 403";
};

export const WEATHER_HARMS: readonly NamedHarm[] = [
  { name: "source 503", weight: 2, act: storm("source", answer(503), any) },
  { name: "source cut", weight: 2, act: storm("source", { cutBodyAt: 40 }, isRead) },
  { name: "source slow", weight: 1, act: storm("source", { delayMs: 1500 }, any) },
  { name: "listing 500", weight: 2, act: storm("source", answer(500), isListing, 1) },
  { name: "listing cut", weight: 2, act: storm("source", { cutBodyAt: 700 }, isListing) },
  { name: "listing refused", weight: 1, act: refusedListing },
  { name: "destination 503", weight: 3, act: storm("destination", answer(503), any) },
  { name: "destination 500", weight: 2, act: storm("destination", answer(500), isUpload) },
  { name: "answers lost", weight: 3, act: storm("destination", { loseAnswer: true }, isUpload) },
  { name: "ledger 503", weight: 2, act: storm("ledger", answer(503), any) },
  { name: "ledger answers lost", weight: 3, act: storm("ledger", { loseAnswer: true }, isUpload, 0.4) },
  { name: "ledger cut", weight: 2, act: storm("ledger", { cutBodyAt: 30 }, isRead) },
  { name: "kms denied", weight: 2, act: storm("sourceKms", denied, any, 1) },
  { name: "wrapping denied", weight: 1, act: storm("destinationKms", denied, any, 1) },
  { name: "kms throttled", weight: 2, act: storm("sourceKms", throttled, any) },
  { name: "key disabled", weight: 1, act: keyDisabled },
];

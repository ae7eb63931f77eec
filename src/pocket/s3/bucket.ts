/** One bucket in memory: every key's versions, newest first, and the keys in the order in which S3 lists them. */
import { randomBytes } from "node:crypto";
import { compareKeys } from "../../core/object.ts";
import type { S3Attributes, Tags } from "./attributes.ts";
import type { S3AtRest } from "./atrest.ts";
import { type Segment, sizeOf } from "./bytes.ts";
import type { Checksum } from "./checksum.ts";
import type { Upload } from "./upload.ts";

export interface Content {
  readonly segments: readonly Segment[];
  /** Without quotes. */
  readonly etag: string;
  readonly attributes: S3Attributes;
  readonly atRest: S3AtRest;
  readonly tags: Tags;
  readonly checksum?: Checksum | undefined;
  /** Of a multipart upload. */
  readonly partsCount?: number | undefined;
}

export interface Version {
  readonly key: string;
  /** `null` (the word) for what was written without versioning. */
  readonly versionId: string;
  readonly lastModifiedMs: number;
  readonly sizeBytes: number;
  /** Absent in a delete marker. */
  content: Content | undefined;
}

export class Bucket {
  readonly name: string;
  readonly createdMs: number;
  /** KMS key of the default encryption. */
  defaultKey: string | undefined;
  versioning: "Enabled" | "Suspended" | undefined;
  readonly uploads = new Map<string, Upload>();
  readonly #versions = new Map<string, Version[]>();
  /** Sorted; may still name keys that are gone. */
  #sorted: string[] = [];
  #added: string[] = [];
  #gone = 0;

  constructor(name: string, createdMs: number) {
    this.name = name;
    this.createdMs = createdMs;
  }

  get isEmpty(): boolean {
    return this.#versions.size === 0;
  }

  /** Newest first. */
  versions(key: string): readonly Version[] {
    return this.#versions.get(key) ?? [];
  }

  /** The version named, or the newest; delete markers too. */
  find(key: string, versionId: string | undefined): Version | undefined {
    const versions = this.#versions.get(key);
    return versionId === undefined ? versions?.[0] : versions?.find((version) => version.versionId === versionId);
  }

  /** What stands under the key now: no delete marker. */
  current(key: string): (Version & { content: Content }) | undefined {
    const version = this.#versions.get(key)?.[0];
    return version && isObject(version) ? version : undefined;
  }

  add(key: string, content: Content | undefined, nowMs: number): Version {
    const versionId = this.versioning === "Enabled" ? randomBytes(24).toString("base64url") : "null";
    const sizeBytes = content ? sizeOf(content.segments) : 0;
    // S3 keeps whole seconds.
    const version = { key, versionId, lastModifiedMs: Math.floor(nowMs / 1000) * 1000, sizeBytes, content };
    const older = this.#versions.get(key);
    if (!older) this.#added.push(key);
    const kept = versionId === "null" ? older?.filter((other) => other.versionId !== "null") : older;
    this.#versions.set(key, kept && kept.length > 0 ? [version, ...kept] : [version]);
    return version;
  }

  drop(key: string, versionId: string): Version | undefined {
    const version = this.find(key, versionId);
    if (!version) return undefined;
    const rest = this.versions(key).filter((other) => other !== version);
    if (rest.length > 0) this.#versions.set(key, rest);
    else {
      this.#versions.delete(key);
      this.#gone++;
    }
    return version;
  }

  /** All keys in UTF-8 byte order; some may be gone. */
  keys(): readonly string[] {
    if (this.#added.length > 0 || this.#gone > this.#sorted.length / 2) {
      this.#sorted = this.#merge(this.#sorted, this.#added.sort(compareKeys));
      this.#added = [];
      this.#gone = 0;
    }
    return this.#sorted;
  }

  /** A key that went and came back stands in both lists. */
  #merge(left: readonly string[], right: readonly string[]): string[] {
    const merged: string[] = [];
    for (let i = 0, j = 0; i < left.length || j < right.length; ) {
      const [a, b] = [left[i], right[j]];
      const takeLeft = b === undefined || (a !== undefined && compareKeys(a, b) <= 0);
      const key = (takeLeft ? left[i++] : right[j++]) as string;
      if (key !== merged.at(-1) && this.#versions.has(key)) merged.push(key);
    }
    return merged;
  }
}

export const isObject = (version: Version): version is Version & { content: Content } => version.content !== undefined;

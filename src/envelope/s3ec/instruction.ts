/**
 * Instruction files: an S3EC envelope in an object of its own (S3EC specification, data-format/metadata-strategy.md).
 *
 *   object              holds                       V1, V2                            V3
 *   <key>               metadata                    nothing, or a part of the same    x-amz-c, x-amz-d, x-amz-i
 *   <key>.instruction   body: a flat JSON object    the whole envelope                x-amz-3, x-amz-w, x-amz-t or x-amz-m
 *
 * Where it is no envelope of an official writer it is refused: a name that stands twice, a name that no writer puts there, a value
 * that is no string, the body's part of V3 (with it, whoever writes the file would choose the commitment as well). Official writers
 * differ in three things, which are read: PHP writes the two lengths as numbers, and reads the wrap of V3 as one; .NET writes null
 * for an absent description; Go leaves names empty.
 */
import type { ObjectHead } from "../../core/object.ts";
import type { Divided, Split } from "../envelope.ts";
import { foreignSign, isAnothers } from "../foreign.ts";
import { contextText, parseContext } from "./context.ts";
import {
  fieldsOf,
  generationOf,
  IN_FILE,
  INSTRUCTION_SUFFIX,
  isKnown,
  KEYS,
  malformed,
  MATDESC,
  OURS,
  PLAIN_LENGTH,
  TAG_LEN,
  unsupported,
  V3_CONTEXT,
  V3_IN_METADATA,
  V3_MATERIALS,
  V3_WRAP,
} from "./names.ts";
import { Scanner } from "./scanner.ts";

/** An envelope fills no more than 8 KiB of metadata; in JSON each character may take six. */
export const INSTRUCTION_BYTES_MAX = 64 * 1024;

/** On the file itself; readers take no notice of it. */
const MARKER = "x-amz-crypto-instr-file";
const NUMBERS = [TAG_LEN, PLAIN_LENGTH, V3_WRAP];
const MAPS = [MATDESC, V3_CONTEXT, V3_MATERIALS];

/** Names and values as they would stand in metadata; those that the file leaves empty are absent. */
export function parseInstruction(file: Uint8Array): ReadonlyMap<string, string> {
  if (file.length > INSTRUCTION_BYTES_MAX) throw malformed("the instruction file is too long");
  const scanner = new Scanner(textOf(file), "the instruction file");
  const seen = new Set<string>();
  const values = new Map<string, string>();
  scanner.expect("{");
  if (!scanner.takes("}")) {
    do {
      const name = scanner.string();
      checkName(name);
      if (seen.has(name)) throw malformed(`${name} stands twice in the instruction file`);
      seen.add(name);
      scanner.expect(":");
      const value = scanner.value(NUMBERS.includes(name)) ?? "";
      if (value !== "") values.set(name, asMetadata(name, value));
    } while (scanner.takes(","));
    scanner.expect("}");
  }
  scanner.end();
  if (!KEYS.some((key) => values.has(key))) throw malformed("the instruction file holds no wrapped key");
  return values;
}

/** A byte order mark is left in: it is no JSON. */
function textOf(file: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(file);
  } catch {
    throw malformed("the instruction file is not UTF-8");
  }
}

function checkName(name: string): void {
  if (IN_FILE.has(name)) return;
  if (V3_IN_METADATA.includes(name)) throw malformed(`${name} stands in the instruction file and not with the body`);
  throw unsupported(`an instruction file with ${JSON.stringify(name.slice(0, 64))}, which no known writer puts there`);
}

/** Maps become the one text that every store and reader keeps; here nothing has been through S3's encoded words. */
function asMetadata(name: string, value: string): string {
  if (MAPS.includes(name)) {
    if (!/^\s*\{/.test(value)) throw malformed(`${name} is not a flat JSON object of strings`);
    return contextText(parseContext(value, name));
  }
  if (!/^[!-~]+$/.test(value)) throw malformed(`${name} holds other characters than visible ASCII`);
  return value;
}

function awaits(head: ObjectHead): boolean {
  const { key, attributes } = head;
  const names = [...attributes.metadata].flatMap(([name, value]) => (value === "" ? [] : [name.toLowerCase()]));
  if (names.some((name) => KEYS.includes(name)) || foreignSign(head) !== undefined) return false;
  if ([...attributes.metadata.keys()].some((name) => isAnothers(name.toLowerCase()))) return false;
  // Markers of folders, which have no body to seal.
  return !key.endsWith("/") || names.some(isKnown);
}

/** What the body says itself stays as it says it. */
function join(head: ObjectHead, file: Uint8Array): ObjectHead {
  const rest = new Map(parseInstruction(file));
  const metadata = new Map<string, string>();
  for (const [spelled, value] of head.attributes.metadata) {
    const name = spelled.toLowerCase();
    if (isKnown(name) && value === "") continue;
    metadata.set(spelled, value);
    if (OURS.includes(name)) throw malformed(`${name} beside an instruction file`);
    const told = rest.get(name);
    if (told === undefined) continue;
    const said = MAPS.includes(name) ? contextText(parseContext(value, name)) : value;
    if (told !== said) throw malformed(`${name} differs between the metadata and the instruction file`);
    rest.delete(name);
  }
  for (const [name, value] of rest) metadata.set(name, value);
  // Whoever holds the file of a V2 object cannot put it beside a body of V3.
  generationOf(fieldsOf(metadata));
  return { ...head, attributes: { ...head.attributes, metadata } };
}

/**
 * Under the key services of this project's own wraps nobody looks into files. The stated length stays with the body: the client for
 * Python knows no such name in a file.
 */
function split(metadata: ReadonlyMap<string, string>): Split | undefined {
  if (OURS.some((name) => metadata.has(name))) return undefined;
  const stays = ([name]: readonly [string, string]) => V3_IN_METADATA.includes(name) || name === PLAIN_LENGTH;
  const all = [...metadata];
  const file = Buffer.from(asciiJson(Object.fromEntries(all.filter((pair) => !stays(pair)))));
  return { beside: new Map(all.filter(stays)), file, fileMetadata: new Map([[MARKER, ""]]) };
}

/** Without any white space, in values too: the client for C++ reads up to the first. */
const asciiJson = (pairs: Readonly<Record<string, string>>): string =>
  JSON.stringify(pairs).replace(/[^!-~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** Some writers let the application choose the end of the file's name. */
export const instructionFiles = (suffix: string): Divided => ({
  fileBytesMax: INSTRUCTION_BYTES_MAX,
  fileOf: (body) => body + suffix,
  bodyOf: (file) => (file.endsWith(suffix) ? file.slice(0, -suffix.length) || undefined : undefined),
  awaits,
  split,
  join,
});

export const instructionFile: Divided = instructionFiles(INSTRUCTION_SUFFIX);

/** How the pocket Cloud Storage answers: JSON resources, and errors in Google's shape. */
import type { ServerResponse } from "node:http";

/** Thrown anywhere in a request; becomes `{error:{code,message,errors:[{reason}]}}`. */
export class Refusal extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export const noBucket = () => new Refusal(404, "notFound", "The specified bucket does not exist.");
export const noObject = (bucket: string, name: string) =>
  new Refusal(404, "notFound", `No such object: ${bucket}/${name}`);
export const conditionNotMet = () =>
  new Refusal(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.");
export const invalid = (message: string) => new Refusal(400, "invalid", message);

export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (refusal.status === 304) {
    response.writeHead(304).end();
    return;
  }
  const { status: code, message, reason } = refusal;
  json(response, { error: { code, message, errors: [{ message, domain: "global", reason }] } }, code);
}

export function json(response: ServerResponse, value: unknown, status = 200): void {
  const text = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { "content-type": "application/json; charset=UTF-8", "content-length": text.length });
  response.end(text);
}

/** The `fields` parameter, partial responses: `kind,items(name,size),metadata/a`. Unknown names select nothing. */
export function selectFields(value: unknown, fields: string | null): unknown {
  if (fields === null || fields === "" || fields === "*") return value;
  return select(value, parseFields(fields));
}

interface Selection {
  readonly [name: string]: Selection | undefined;
}

function parseFields(fields: string): Selection {
  const selection: { [name: string]: Selection } = {};
  let depth = 0;
  let start = 0;
  const take = (part: string) => {
    const cut = part.search(/[(/]/);
    if (part === "") throw invalid("Invalid field selection");
    if (cut < 0) selection[part] = {};
    else selection[part.slice(0, cut)] = parseFields(part[cut] === "(" ? part.slice(cut + 1, -1) : part.slice(cut + 1));
  };
  for (let at = 0; at < fields.length; at++) {
    if (fields[at] === "(") depth++;
    if (fields[at] === ")") depth--;
    if (fields[at] !== "," || depth > 0) continue;
    take(fields.slice(start, at));
    start = at + 1;
  }
  take(fields.slice(start));
  return selection;
}

function select(value: unknown, selection: Selection): unknown {
  if (Array.isArray(value)) return value.map((one) => select(one, selection));
  const names = Object.keys(selection);
  if (typeof value !== "object" || value === null || names.length === 0) return value;
  const kept = Object.entries(value).filter(([name]) => names.includes(name));
  return Object.fromEntries(kept.map(([name, inner]) => [name, select(inner, selection[name] ?? {})]));
}

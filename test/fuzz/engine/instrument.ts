/**
 * Counters in the emitted JavaScript: at the start of every function, branch, loop body, case and handler, and at the right side of
 * every condition. A counter is `$hits[n]++` on one array that all modules share, so that a run can be told from another by the
 * way it took.
 */
import { parseSync } from "oxc-parser";

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

/** All counters of a build. */
export const HITS_MAX = 1 << 16;
/** Where modules find the array. */
export const HITS_NAME = "__sealiftHits";
const HEADER = `const $hits = globalThis[${JSON.stringify(HITS_NAME)}];\n`;

export interface Instrumented {
  readonly code: string;
  /** The first number that is free. */
  readonly next: number;
  /** String literals and the literal texts of regular expressions: words that parsers compare with. */
  readonly words: readonly string[];
}

export function instrument(path: string, code: string, first: number): Instrumented {
  const { program, errors } = parseSync(path, code, { sourceType: "module" });
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  const edits: { readonly at: number; readonly text: string; readonly order: number }[] = [];
  const words = new Set<string>();
  let next = first;
  const insert = (at: number, text: string) => edits.push({ at, text, order: edits.length });
  const count = () => `$hits[${next++}]++`;
  const asStatement = (node: unknown) => {
    if (!isNode(node)) return;
    if (node.type === "BlockStatement" || node.type === "FunctionBody") insert(node.start + 1, `${count()};`);
    else {
      insert(node.start, `{${count()};`);
      insert(node.end, "}");
    }
  };
  const asExpression = (node: unknown) => {
    if (!isNode(node)) return;
    insert(node.start, `(${count()},`);
    insert(node.end, ")");
  };
  walk(program as unknown as Node, (node) => {
    if (/Function/.test(node.type) && isNode(node["body"])) {
      if (/^(BlockStatement|FunctionBody)$/.test(node["body"].type)) asStatement(node["body"]);
      else asExpression(node["body"]);
    }
    if (node.type === "IfStatement") {
      asStatement(node["consequent"]);
      if (isNode(node["alternate"]) && node["alternate"].type !== "IfStatement") asStatement(node["alternate"]);
    }
    if (/^(For|While|DoWhile)/.test(node.type)) asStatement(node["body"]);
    if (node.type === "CatchClause") asStatement(node["body"]);
    if (node.type === "SwitchCase" && Array.isArray(node["consequent"]) && isNode(node["consequent"][0])) {
      insert(node["consequent"][0].start, `${count()};`);
    }
    if (node.type === "ConditionalExpression") {
      asExpression(node["consequent"]);
      asExpression(node["alternate"]);
    }
    if (node.type === "LogicalExpression") asExpression(node["right"]);
    if (node.type === "Literal") literal(node, words);
  });
  // The outer of two insertions at one place was made first: it opens first and closes last.
  edits.sort(
    (a, b) =>
      a.at - b.at || rank(a.text) - rank(b.text) || (rank(a.text) === 0 ? b.order - a.order : a.order - b.order),
  );
  let out = HEADER;
  let at = 0;
  for (const edit of edits) {
    out += code.slice(at, edit.at) + edit.text;
    at = edit.at;
  }
  return { code: out + code.slice(at), next, words: [...words] };
}

/** What closes at a place goes before what opens there. */
const rank = (text: string): number => (text === ")" || text === "}" ? 0 : 1);

function literal(node: Node, words: Set<string>): void {
  const { value } = node;
  const text = typeof value === "string" ? value : undefined;
  if (text !== undefined && text.length > 0 && text.length <= 48) words.add(text);
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";

function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  for (const value of Object.values(node)) {
    if (isNode(value)) walk(value, visit);
    else if (Array.isArray(value)) for (const one of value) if (isNode(one)) walk(one, visit);
  }
}

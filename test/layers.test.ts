/**
 * The house plan as a test: config/layers.json says which room may import which, which doors rooms have, which guest (third-party
 * package) may enter which file, and which words are legal where. First it makes sure that it saw the house at all: a guard that
 * reads nothing passes everything.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

interface Layers {
  readonly rooms: Readonly<Record<string, readonly string[]>>;
  readonly doors: Readonly<Record<string, string>>;
  readonly keysToEveryDoor: readonly string[];
  readonly guests: Readonly<Record<string, readonly string[]>>;
  readonly words: Readonly<Record<string, readonly string[]>>;
  readonly limits: { readonly fileLines: number; readonly functionLines: number; readonly workerLines: number };
}

const root = fileURLToPath(new URL("..", import.meta.url));
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(root, path), "utf8"));
const layers = readJson("config/layers.json") as Layers;

interface SourceFile {
  /** `store/s3/s3.ts`; entry points in `workers/` keep that folder. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly string[];
}

function read(folder: string): SourceFile[] {
  const names = existsSync(join(root, folder))
    ? readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    : [];
  return names
    .filter((name) => name.endsWith(".ts"))
    .map((name) => {
      const text = readFileSync(join(root, folder, name), "utf8");
      const path = folder === "src" ? name : `${folder}/${name}`;
      const code = withoutComments(text);
      return { path, room: path.split("/")[0]?.replace(/\.ts$/, "") ?? "", text, code, imports: importsOf(code) };
    });
}

/** Strings are kept whole, so that `"https://"` begins no comment. */
const withoutComments = (text: string): string =>
  text.replaceAll(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|\/\*[\s\S]*?\*\/|(^|[\s;{}(,])\/\/[^\n]*/gm,
    (_, string, before) => String(string ?? before ?? ""),
  );

function importsOf(code: string): string[] {
  const patterns = [/\b(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']/g, /\bimport\s*\(?\s*["']([^"']+)["']/g];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map(([, specifier]) => specifier as string));
}

const files = [...read("src"), ...read("workers")];

/** `store/s3` is the folder and everything in it, or the file of that name. */
const lies = (path: string, place: string): boolean =>
  path === place || path === `${place}.ts` || path.startsWith(`${place}/`);

interface Arrow {
  readonly from: SourceFile;
  readonly to: string;
  readonly toRoom: string;
}

const arrows: readonly Arrow[] = files.flatMap((from) =>
  from.imports
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => {
      const folder = from.room === "workers" ? "." : "src";
      const to = relative("src", normalize(join(folder, dirname(from.path), specifier))).replace(
        /^\.\.\/workers\//,
        "workers/",
      );
      return { from, to, toRoom: to.split("/")[0]?.replace(/\.ts$/, "") ?? "" };
    }),
);

const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

const guests = files.flatMap((file) =>
  file.imports
    .filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
    .map((specifier) => ({ file, guest: packageOf(specifier) })),
);

describe("the guard", () => {
  test("sees the house: files in every room, and imports in nearly every file", () => {
    expect(files.length).toBeGreaterThan(80);
    expect(arrows.length).toBeGreaterThan(200);
    const rooms = new Set(files.map((file) => file.room));
    expect([...rooms].sort()).toEqual(Object.keys(layers.rooms).sort());
    const silent = files.filter((file) => /^import /m.test(file.text) && file.imports.length === 0);
    expect(silent.map((file) => file.path)).toEqual([]);
  });

  test("finds every form of import, and none in comments", () => {
    const code = withoutComments(
      [
        'import a from "a"; import type { B } from "b";',
        'import {\n  c,\n  type D,\n} from "c";',
        'import "d"; export { e } from "e"; const f = await import("f");',
        '// import x from "x";\n/* import y from "y"; */',
        'const url = "https://host"; import g from "g";',
      ].join("\n"),
    );
    expect(importsOf(code).sort()).toEqual(["a", "b", "c", "d", "e", "f", "g"]);
  });

  test("the plan itself has no circle", () => {
    const done = new Set<string>();
    const visit = (room: string, path: readonly string[]): void => {
      expect(path, [...path, room].join(" -> ")).not.toContain(room);
      if (done.has(room)) return;
      for (const next of layers.rooms[room] ?? []) visit(next, [...path, room]);
      done.add(room);
    };
    for (const room of Object.keys(layers.rooms)) visit(room, []);
    expect(done.size).toBe(Object.keys(layers.rooms).length);
  });
});

describe("imports", () => {
  test("name files that are there, with their extension", () => {
    const lost = arrows.filter(({ to }) => !files.some((file) => file.path === to));
    expect(lost.map(({ from, to }) => `${from.path} -> ${to}`)).toEqual([]);
  });

  test("follow the arrows between rooms", () => {
    const wrong = arrows.filter(
      ({ from, toRoom }) => from.room !== toRoom && !layers.rooms[from.room]?.includes(toRoom),
    );
    expect(wrong.map(({ from, to }) => `${from.path} -> ${to}`)).toEqual([]);
  });

  test("enter a room by its door", () => {
    const wrong = arrows.filter(({ from, to, toRoom }) => {
      const door = layers.doors[toRoom];
      return door !== undefined && from.room !== toRoom && to !== door && !layers.keysToEveryDoor.includes(from.room);
    });
    expect(wrong.map(({ from, to }) => `${from.path} -> ${to}`)).toEqual([]);
  });

  test("keep each guest in its rooms", () => {
    const wrong = guests.filter(({ file, guest }) => !layers.guests[guest]?.some((place) => lies(file.path, place)));
    expect(wrong.map(({ file, guest }) => `${file.path} -> ${guest}`)).toEqual([]);
  });

  test("meet every guest and every dependency: nobody is invited in vain", () => {
    const met = [...new Set(guests.map(({ guest }) => guest))].sort();
    const invited = Object.entries(layers.guests);
    expect(met).toEqual(invited.map(([guest]) => guest).sort());
    const { dependencies, peerDependencies } = readJson("package.json") as Record<string, Record<string, string>>;
    expect(met).toEqual(Object.keys({ ...dependencies, ...peerDependencies }).sort());
    const empty = invited.flatMap(([guest, places]) =>
      places
        .filter((place) => !guests.some((one) => one.guest === guest && lies(one.file.path, place)))
        .map((place) => `${guest} in ${place}`),
    );
    expect(empty).toEqual([]);
  });
});

describe("words and sizes", () => {
  test.each(Object.entries(layers.words))("%s is written only where it is legal", (word, places) => {
    const found = files.filter((file) => file.code.includes(word));
    expect(found.length).toBeGreaterThan(0);
    const wrong = found.filter((file) => !places.some((place) => lies(file.path, place)));
    expect(wrong.map((file) => file.path)).toEqual([]);
  });

  test("files fit the limit", () => {
    const { fileLines, workerLines } = layers.limits;
    const long = files
      .map((file) => ({ file, lines: file.text.trimEnd().split("\n").length }))
      .filter(({ file, lines }) => lines > (file.room === "workers" ? workerLines : fileLines));
    expect(long.map(({ file, lines }) => `${file.path}: ${lines}`)).toEqual([]);
  });

  // The linter measures functions, because it parses them; here it is only made sure that it is told to.
  test("functions are measured by the linter, at the same limit", () => {
    const lint = readJson(".oxlintrc.json") as { overrides: { files: string[]; rules: Record<string, unknown> }[] };
    const rule = lint.overrides.find(({ files: places }) => places.includes("src/**") && places.includes("workers/**"));
    expect(rule?.rules["max-lines-per-function"]).toEqual(["error", { max: layers.limits.functionLines }]);
  });

  test("no barrels and no drawers for odds and ends", () => {
    const drawers = /(^|\/)(index|utils?|helpers?|misc|tools?|types|common|shared|manager|service)\.ts$/;
    expect(files.map((file) => file.path).filter((path) => drawers.test(path))).toEqual([]);
  });

  test("nobody silences the compiler or the linter without a reason", () => {
    const silenced = files.flatMap(({ path, text }) =>
      [...text.matchAll(/@ts-(ignore|nocheck|expect-error)|\bas unknown as\b|(ox|es)lint-disable[^\n]*/g)]
        .map(([found]) => found)
        .filter((found) => !/lint-disable.*--\s*\S/.test(found))
        .map((found) => `${path}: ${found}`),
    );
    expect(silenced).toEqual([]);
  });

  test("tests use no scripted mocks", () => {
    const tests = read("test").filter((file) => file.path !== "test/layers.test.ts");
    expect(tests.length).toBeGreaterThan(20);
    expect(tests.filter((file) => /\bvi\.(mock|fn|spyOn)\b/.test(file.code)).map((file) => file.path)).toEqual([]);
  });
});

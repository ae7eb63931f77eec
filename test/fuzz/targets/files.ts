/** Directories as stores: names out of a file system, and heads as files. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary, entryOf, HEAD, placeOf } from "../../../src/store/file/names.ts";
import { readSidecar, writeSidecar } from "../../../src/store/file/sidecar.ts";
import { textOf } from "../input.ts";
import { holds, same, type Target } from "../target.ts";

export const namesTarget: Target = {
  name: "file-names",
  seeds: ["a/b c", "../.", `${"k".repeat(130)}/x`, "a%20c@head", "%@head", "%2E%2E", `${"a".repeat(120)}~`],
  run: (bytes) => {
    const name = textOf(bytes);
    entryOf(name, false);
    entryOf(name, true);
    const { directories, leaf } = placeOf(name);
    const steps = [...directories.map((one) => entryOf(one, true)), entryOf(leaf + HEAD, false)];
    holds(
      steps.every((step) => step !== undefined && step.name.length <= 255),
      "a name that no file can have, or that is not found again",
    );
    holds(
      [...directories, leaf].every(
        (one) => one !== "" && one !== "." && one !== ".." && !one.includes("/") && !one.includes("\0"),
      ),
      "a way out of the directory",
    );
    same(steps.map((step) => step?.adds).join(""), binary(name), "placed and found");
  },
};

const SIDECAR = {
  sealift: 1,
  key: "a/b",
  version: "5f",
  data: "b@5f",
  sizeBytes: 3,
  crc32c: "AAAAAA==",
  md5: "d41d8cd98f00b204e9800998ecf8427e",
  lastModifiedMs: 1_700_000_000_000,
  metadata: [["name", "value"]],
  headers: { contentType: "text/plain" },
};
let directory: string | undefined;

export const headFileTarget: Target = {
  name: "file-head",
  seeds: [JSON.stringify(SIDECAR), JSON.stringify({ ...SIDECAR, metadata: [], headers: { expires: "x" } })],
  run: async (bytes) => {
    directory ??= mkdtempSync(join(tmpdir(), "sealift-fuzz-heads-"));
    const path = join(directory, "b@head");
    writeFileSync(path, bytes);
    const sidecar = await readSidecar(path, "a/b");
    holds(sidecar !== undefined, "a file that is there was not found");
    holds(!/[/\0]/.test(sidecar.data), "a data file elsewhere");
    holds(!Number.isNaN(new Date(sidecar.head.lastModifiedMs).getTime()), `a time of ${sidecar.head.lastModifiedMs}`);
    writeFileSync(path, writeSidecar(sidecar));
    same(await readSidecar(path, "a/b"), sidecar, "read, written, read");
  },
  close: async () => {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    directory = undefined;
  },
};

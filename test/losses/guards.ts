/** Guards that stand behind one another in more than one class, each as the change that takes it out. */
import type { Change } from "./controls.ts";

/** What passes is held to the length and the checksum that were promised (`transfer/passage`). */
export const PASSAGE: Change = {
  module: "transfer/passage",
  find: "this.#check();",
  replace: "",
};

/** A source that cuts its body says so (`store/s3/reading`). */
export const CUT_SOURCE: readonly Change[] = [
  {
    module: "store/s3/reading",
    find: `throw new SealiftError("STORE_CUT", message, { object: key, cause: error });`,
    replace: "return;",
  },
  {
    module: "store/s3/reading",
    find: "if (actualBytes !== sizeBytes)\n        throw cut(key, actualBytes, sizeBytes);",
    replace: "",
  },
];

/** Bodies are as long as was announced before their last part goes out (`store/parts`). */
export const S3_LENGTH: readonly Change[] = [
  {
    module: "store/parts",
    find: "if (actualBytes !== sizeBytes)\n            throw cut(key, actualBytes, sizeBytes);",
    replace: "",
  },
  // Memory was taken for all that was announced: without this its rest would go out, and the checksum would tell.
  {
    module: "core/held",
    find: "return this.#pieces;",
    replace: `let left = this.#filled;
        return this.#pieces.map((piece) => {
            const filled = piece.subarray(0, Math.min(left, piece.length));
            left -= filled.length;
            return filled;
        });`,
  },
];

/** The same for Cloud Storage, and what the service says it has afterwards. */
export const GCS_LENGTH: readonly Change[] = [
  ...S3_LENGTH,
  { module: "store/gcs/upload", find: "head.sizeBytes === options.sizeBytes && ", replace: "" },
  {
    module: "transfer/copy",
    find: "if (put.head.sizeBytes !== sizeBytes)",
    replace: "if (false)",
  },
];

/** What is to be replaced stands until the put that replaces it (`transfer/copy`): here it is taken away first. */
export const REMOVED_FIRST: Change = {
  module: "transfer/copy",
  find: "return (await judge(task, standing)) ?? (await ship(task, pinOf(standing)));",
  replace: `const told = await judge(task, standing);
        if (told) return told;
        await shores.destination.remove(task.key, signal);
        return await ship(task, "absent");`,
};

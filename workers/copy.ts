/** A process that takes copy jobs: `sealift worker --kind copy`, under a name of its own so that an operator can tell them apart. */
import { runAsProcess } from "../src/cli/entrance.ts";

await runAsProcess(["worker", "--kind", "copy", ...process.argv.slice(2)]);

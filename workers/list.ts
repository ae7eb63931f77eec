/** A process that takes list jobs: `sealift worker --kind list`, under a name of its own so that an operator can tell them apart. */
import { runAsProcess } from "../src/cli/entrance.ts";

await runAsProcess(["worker", "--kind", "list", ...process.argv.slice(2)]);

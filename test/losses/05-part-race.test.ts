import { randomBytes } from "node:crypto";
import { lossClass, type Scenario } from "./losses.ts";
import { findings } from "./oracle.ts";
import { happening } from "./requests.ts";
import { inWorld } from "./world.ts";

/** Each odd part is done only when the one behind it is. */
const racing: Scenario = (build) =>
  inWorld({ build, far: "s3", s3: { joinsBlindly: true } }, async (world) => {
    await world.place("parts", { plaintext: randomBytes(65 * 1024 * 1024), writer: null });
    await world.place("sealed");
    for (const odd of [1, 3]) {
      const done = happening();
      const isPart = (number: number) => (request: { readonly query: URLSearchParams }) =>
        request.query.get("partNumber") === String(number);
      world.clouds.s3.faults.add({ match: isPart(odd), first: () => done.promise });
      world.clouds.s3.faults.add({
        match: isPart(odd + 1),
        change: (answer) => {
          done.happen();
          return answer;
        },
      });
    }
    return findings(world, await world.migrate());
  });

lossClass(5, "part race duplicates or misorders blocks, and the service does not check", [
  {
    it: "parts that end out of order, at a service that joins them as they are named",
    scenario: racing,
    controls: [
      {
        without: "the parts put in order",
        changes: [{ module: "store/s3/multipart", find: ".toSorted((a, b) => a.number - b.number)", replace: "" }],
        // `already` where a busy machine lost the answer of the first try.
        reports: /^parts: (resealed|already), and it does not open/m,
      },
    ],
  },
]);

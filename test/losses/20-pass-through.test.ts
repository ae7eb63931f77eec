import type { Fault } from "../../src/pocket/http.ts";
import { lossClass, type Scenario } from "./losses.ts";
import { type Expectations, findings } from "./oracle.ts";
import { IMPATIENT, inWorld } from "./world.ts";

type Answer = NonNullable<Fault["answer"]>;

const json = (status: number, value: object): Answer => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(value),
});

/** Answers that are no answer, to the opening of the old key and to the wrapping under the new one. */
const DECRYPT: Readonly<Record<string, Answer>> = {
  "Decrypt answers nothing": { status: 200 },
  "Decrypt answers without a key": json(200, { KeyId: "x" }),
  "Decrypt answers with a page": { status: 200, body: "<html>sign in</html>" },
  "Decrypt says that the client has expired": json(400, { __type: "UnrecognizedClientException", message: "" }),
};
const ENCRYPT: Readonly<Record<string, Answer>> = {
  "Encrypt answers nothing": { status: 200 },
  "Encrypt answers without a wrapped key": json(200, { name: "x" }),
  "Encrypt is not authorised": json(401, { error: { code: 401, message: "", status: "UNAUTHENTICATED" } }),
};

/** Objects of each path, one migration an answer: nothing may stand at the destination. */
const noAnswer: Scenario = (build) =>
  inWorld({ build, retry: { attempts: 1 } }, async (world) => {
    await world.place("sealed");
    await world.place("bare", { writer: null });
    await world.workTogether(IMPATIENT);
    const found: string[] = [];
    const round = async (name: string, cloud: "awsKms" | "gcpKms", fault: Fault, expected: Expectations) => {
      world.clouds[cloud].faults.add({ ...fault, times: Number.POSITIVE_INFINITY });
      const mid = await world.start();
      await world.settled(mid);
      const told = await findings(world, mid, expected);
      found.push(...told.map((line) => `${name}: ${line}`));
    };
    const failed = { outcome: "failed" } as const;
    for (const [name, answer] of Object.entries(ENCRYPT)) {
      // Expired credentials are waited for, and class 10 looks at them: here they end with the first round that answers.
      if (answer.status === 401) continue;
      const match: Fault["match"] = ({ path }) => path.endsWith(":encrypt");
      await round(name, "gcpKms", { match, answer }, { sealed: failed, bare: failed });
    }
    for (const [name, answer] of Object.entries(DECRYPT)) {
      const match: Fault["match"] = ({ headers }) => headers["x-amz-target"] === "TrentService.Decrypt";
      await round(name, "awsKms", { match, answer }, { sealed: failed });
    }
    return found;
  });

lossClass(20, "crypto client failure taken for pass-through", [
  {
    it: "a KMS that does not answer the question",
    scenario: noAnswer,
    controls: [
      {
        without: "the error of a key that was not wrapped: the old wrapped key would be written as the new one",
        changes: [
          {
            module: "transfer/keys",
            find: "return { wrapped: await wrapForDestination(dataKey, handing.retargeted, crossing), by, dataKey, notes: [] };",
            replace:
              'return { wrapped: await wrapForDestination(dataKey, handing.retargeted, crossing).catch(() => ({ ...handing.seal.wrapped, scheme: "gcp-kms", uri: crossing.rules.wrapWith })), by, dataKey, notes: [] };',
          },
        ],
        reports: /^Encrypt answers nothing: sealed: rewrapped, and it does not open/m,
      },
      {
        without: "the error of a fresh key that was not wrapped: the object would be written in the clear",
        changes: [
          {
            module: "transfer/copy",
            find: "const { seal: bare, wrapped, dataKey } = await freshKey(move.sealWith, task);",
            replace: `const fresh = await freshKey(move.sealWith, task).catch(() => undefined);
            if (!fresh) return { ...unchanged, outcome: "resealed", attributes: head.attributes, notes: [] };
            const { seal: bare, wrapped, dataKey } = fresh;`,
          },
        ],
        reports: /^Encrypt answers nothing: bare: resealed, and it stands in the clear$/m,
      },
      {
        without: "the demand for a key in the answer",
        changes: [
          {
            module: "kms/aws",
            find: `const bytes = bytesField(answer, "Plaintext", where);`,
            replace: `const bytes = answer.Plaintext ? bytesField(answer, "Plaintext", where) : Buffer.alloc(32);`,
          },
          {
            module: "kms/aws",
            find: 'const by = keyIn(answer, "KeyId", pin, where);',
            replace: "const by = pin;",
          },
        ],
        reports: /^Decrypt answers without a key: sealed: rewrapped, and it does not open/m,
      },
    ],
  },
]);

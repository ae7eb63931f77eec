import { connect } from "node:net";
import { expect, it } from "vitest";
import { startPocketServer } from "../../src/pocket/http.ts";

it("answers in the middle of a request, and the answer outlives the bytes that come after it", async () => {
  const server = await startPocketServer(async (_, response) => void response.end());
  server.faults.add({ match: () => true, answer: { status: 502, body: "no", afterBytes: 100 }, times: Infinity });
  try {
    for (let n = 0; n < 10; n++) expect(await slowToListen(server.url)).toMatch(/^HTTP\/1\.1 502 [^]*\bno\b/);
  } finally {
    await server.close();
  }
});

/** What a client reads that goes on sending all of its request, whatever it is told. */
function slowToListen(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const piece = Buffer.alloc(64 * 1024);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname).once("error", reject);
    let answer = "";
    socket.on("data", (bytes: Buffer) => (answer += bytes.toString("latin1"))).once("end", () => resolve(answer));
    socket.write(`PUT / HTTP/1.1\r\nHost: here\r\nContent-Length: ${20 * piece.length}\r\n\r\n`);
    const send = (left: number): void => void (left > 0 && socket.write(piece, () => setTimeout(send, 1, left - 1)));
    send(20);
  });
}

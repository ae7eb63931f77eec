/** The other side of the measurement: a server as lean as sockets allow, in a process of its own. */
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

const PIECE = Buffer.alloc(1024 * 1024, 7);
const SMALL = Buffer.concat([
  Buffer.from(
    "HTTP/1.1 200 OK\r\nx-amz-id-2: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx-amz-request-id: BBBBBBBBBBBBBBBB\r\n" +
      'Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\n' +
      "x-amz-meta-x-amz-key-v2: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx-amz-checksum-crc32c: AAAAAA==\r\n" +
      "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\nServer: AmazonS3\r\nContent-Length: 16384\r\n\r\n",
  ),
  Buffer.alloc(16_384, 1),
]);
const DONE = Buffer.from(
  'HTTP/1.1 200 OK\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\nServer: AmazonS3\r\nContent-Length: 0\r\n\r\n',
);

function answer(socket: Socket): void {
  let left = 0;
  socket.on("error", () => undefined);
  socket.on("data", (data) => {
    if (left > 0) {
      left -= data.length;
      if (left === 0) socket.write(DONE);
      return;
    }
    const end = data.indexOf("\r\n\r\n");
    const head = data.toString("latin1", 0, end);
    if (head.startsWith("GET /large/")) return large(socket, Number(head.slice(11, head.indexOf(" ", 11))));
    if (head.startsWith("GET")) return void socket.write(SMALL);
    left = Number(/content-length: (\d+)/.exec(head)?.[1]) - (data.length - end - 4);
    if (left === 0) socket.write(DONE);
  });
}

function large(socket: Socket, size: number): void {
  let left = size;
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      const piece = PIECE.subarray(0, Math.min(left, PIECE.length));
      left -= piece.length;
      if (!socket.write(piece)) return void socket.once("drain", more);
    }
  };
  more();
}

const server = createServer({ noDelay: true }, answer);
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.once("disconnect", () => process.exit());

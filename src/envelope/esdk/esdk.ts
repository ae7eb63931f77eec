/** Messages of the AWS Encryption SDK whose own header holds the data key (message.ts, which draws them). */
import type { Envelope } from "../envelope.ts";
import { headDecides } from "../foreign.ts";
import {
  checkMessage,
  ESDK,
  freshMessage,
  openMessage,
  plainMessageSize,
  readHeld,
  sealedMessageSize,
  sealMessage,
  startMessage,
  wantsHeader,
  writeMessage,
} from "./message.ts";
import { beside } from "./sidecar.ts";

export const esdk: Envelope = {
  id: ESDK,
  verifies: "at-end",
  wants: (head, start) => (headDecides(head) ? 0 : wantsHeader(start)),
  read: readHeld,
  retarget: beside,
  check: checkMessage,
  write: writeMessage,
  start: startMessage,
  startsWithKey: true,
  fresh: freshMessage,
  seal: sealMessage,
  open: openMessage,
  sealedSize: sealedMessageSize,
  plainSize: plainMessageSize,
};

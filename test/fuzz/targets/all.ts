/** Every place that reads bytes from outside. */
import type { Target } from "../target.ts";
import { azureTarget, keysetTarget, tinkTarget } from "./clients.ts";
import { filterTarget, flagsTarget, globTarget, jobTarget, logTarget, urlTarget } from "./config.ts";
import { awsKmsDriver, gcpKmsDriver, gcsDriver, s3Driver } from "./drivers.ts";
import { bodyTarget, contextTarget, envelopeTarget, instructionTarget } from "./envelope.ts";
import { messageTarget } from "./esdk.ts";
import { headFileTarget, namesTarget } from "./files.ts";
import { faultTarget, resourceTarget } from "./gcs.ts";
import { httpTarget } from "./http.ts";
import { answerTarget, keyFileTarget, wrappedTarget } from "./kms.ts";
import { pageTarget, recordTarget, wholeTarget } from "./ledger.ts";
import { luaTarget, payloadTarget, windowTarget } from "./pipeline.ts";
import { headTarget, listTarget, metadataTarget, refusalTarget } from "./s3.ts";
import { endpointTarget, xmlTarget } from "./wire.ts";

export const TARGETS: readonly Target[] = [
  envelopeTarget,
  instructionTarget,
  contextTarget,
  bodyTarget,
  messageTarget,
  azureTarget,
  tinkTarget,
  keysetTarget,
  xmlTarget,
  endpointTarget,
  httpTarget,
  listTarget,
  refusalTarget,
  headTarget,
  metadataTarget,
  s3Driver,
  resourceTarget,
  faultTarget,
  gcsDriver,
  namesTarget,
  headFileTarget,
  answerTarget,
  awsKmsDriver,
  gcpKmsDriver,
  wrappedTarget,
  keyFileTarget,
  pageTarget,
  recordTarget,
  wholeTarget,
  jobTarget,
  urlTarget,
  filterTarget,
  globTarget,
  flagsTarget,
  logTarget,
  payloadTarget,
  luaTarget,
  windowTarget,
];

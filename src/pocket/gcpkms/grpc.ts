/** The gRPC door: the methods that matter of google.cloud.kms.v1.KeyManagementService, with the messages of Google's own client. */
import { createRequire } from "node:module";
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { fromJSON } from "@grpc/proto-loader";
import type { Quota } from "../quota.ts";
import type { KeyRing } from "./keys.ts";
import { cryptoKey, decrypt, encrypt } from "./operations.ts";
import { CODES, exhausted, GcpRefusal } from "./refusal.ts";
import { callerOf } from "./rest.ts";

interface Int64Value {
  readonly value: number;
}

interface WireEncrypt {
  readonly name: string;
  readonly plaintext: Buffer;
  readonly additionalAuthenticatedData: Buffer;
  readonly plaintextCrc32c?: Int64Value | null;
  readonly additionalAuthenticatedDataCrc32c?: Int64Value | null;
}

interface WireDecrypt {
  readonly name: string;
  readonly ciphertext: Buffer;
  readonly additionalAuthenticatedData: Buffer;
  readonly ciphertextCrc32c?: Int64Value | null;
  readonly additionalAuthenticatedDataCrc32c?: Int64Value | null;
}

export interface GrpcDoor {
  /** `127.0.0.1:port` */
  readonly address: string;
  close(): void;
}

export async function openGrpcDoor(
  ring: KeyRing,
  quota: Quota,
  port: number,
  count: (label: string) => void,
): Promise<GrpcDoor> {
  const server = new Server();
  server.addService(serviceDefinition(), implementation(ring, quota, count));
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    );
  });
  return { address: `127.0.0.1:${bound}`, close: () => server.forceShutdown() };
}

function serviceDefinition(): ServiceDefinition {
  const require = createRequire(import.meta.url);
  const protos = require("@google-cloud/kms/build/protos/protos.json") as Parameters<typeof fromJSON>[0];
  const definition = fromJSON(protos, { longs: Number, defaults: true });
  return definition["google.cloud.kms.v1.KeyManagementService"] as ServiceDefinition;
}

function implementation(ring: KeyRing, quota: Quota, count: (label: string) => void): UntypedServiceImplementation {
  const method = <Request>(label: string, work: (request: Request) => object): handleUnaryCall<Request, object> => {
    return (call, done) => {
      count(label);
      try {
        const isRationed = label !== "GetCryptoKey";
        if (isRationed && !quota.take(callerOf(call.metadata.get("authorization")[0]))) throw exhausted();
        done(null, work(call.request));
      } catch (error) {
        const status = error instanceof GcpRefusal ? error.status : "INTERNAL";
        done({ code: CODES[status].grpc, details: error instanceof Error ? error.message : "" });
      }
    };
  };
  return {
    Encrypt: method<WireEncrypt>("Encrypt", (request) => {
      const answer = encrypt(ring, {
        ...common(request),
        plaintext: request.plaintext,
        plaintextCrc32c: request.plaintextCrc32c?.value,
      });
      return { ...answer, ciphertextCrc32c: { value: answer.ciphertextCrc32c } };
    }),
    Decrypt: method<WireDecrypt>("Decrypt", (request) => {
      const answer = decrypt(ring, {
        ...common(request),
        ciphertext: request.ciphertext,
        ciphertextCrc32c: request.ciphertextCrc32c?.value,
      });
      return { ...answer, plaintextCrc32c: { value: answer.plaintextCrc32c } };
    }),
    GetCryptoKey: method<{ readonly name: string }>("GetCryptoKey", ({ name }) => cryptoKey(ring, name)),
  };
}

const common = (request: WireEncrypt | WireDecrypt) => ({
  name: request.name,
  additional: request.additionalAuthenticatedData,
  additionalCrc32c: request.additionalAuthenticatedDataCrc32c?.value,
});

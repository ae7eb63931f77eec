/**
 * A pocket Google Cloud KMS on 127.0.0.1, by REST and by gRPC over the same keys: real AES-256-GCM, checksums checked and answered,
 * key versions, states and permissions. Faults (see http.ts) happen at the REST door.
 */
import { openGrpcDoor } from "./gcpkms/grpc.ts";
import { KeyRing, type Permission, primary } from "./gcpkms/keys.ts";
import { answerRest } from "./gcpkms/rest.ts";
import { type PocketServer, startPocketServer } from "./http.ts";
import { Quota } from "./quota.ts";

export interface PocketGcpKmsOptions {
  readonly port?: number | undefined;
  readonly grpcPort?: number | undefined;
  /** Cryptographic requests a second, of all callers and by both doors together. */
  readonly perSecond?: number | undefined;
}

export interface PocketGcpKms extends PocketServer {
  /** `127.0.0.1:port`, without TLS. */
  readonly grpcUrl: string;
  /** By bearer token; without one, `anonymous`. */
  readonly quota: Quota;
  /** Returns the resource name. A bare name is put into `projects/pocket/locations/global/keyRings/pocket`. */
  createKey(name: string): string;
  /** A new primary version; the older ones still open what they sealed. */
  rotate(name: string): void;
  /** The primary version. */
  disable(name: string): void;
  enable(name: string): void;
  /** What the caller may no longer do with this key. */
  deny(name: string, ...permissions: readonly Permission[]): void;
}

export async function startPocketGcpKms(options: PocketGcpKmsOptions = {}): Promise<PocketGcpKms> {
  const ring = new KeyRing();
  const quota = new Quota(options.perSecond);
  const server = await startPocketServer(
    (request, response, count) => answerRest(ring, quota, request, response, count),
    options.port,
  );
  const count = (label: string) => {
    for (const name of ["gRPC", `gRPC ${label}`]) server.counts.set(name, (server.counts.get(name) ?? 0) + 1);
  };
  const door = await openGrpcDoor(ring, quota, options.grpcPort ?? 0, count).catch(async (error: unknown) => {
    await server.close();
    throw error;
  });
  return {
    ...server,
    quota,
    grpcUrl: door.address,
    createKey: (name) => ring.create(fullName(name)).name,
    rotate: (name) => void ring.rotate(name),
    disable: (name) => void (primary(ring.find(name)).state = "DISABLED"),
    enable: (name) => void (primary(ring.find(name)).state = "ENABLED"),
    deny: (name, ...permissions) => permissions.forEach((permission) => ring.find(name).denied.add(permission)),
    close: async () => {
      door.close();
      await server.close();
    },
  };
}

const fullName = (name: string): string =>
  name.includes("/") ? name : `projects/pocket/locations/global/keyRings/pocket/cryptoKeys/${name}`;

/** Which requests a harm is done to, in the words of the scenarios. */
import type { PocketRequest } from "../../src/pocket/http.ts";

type Match = (request: PocketRequest) => boolean;

const ofS3 = (bucket: string, key: string, { path }: PocketRequest): boolean =>
  decodeURIComponent(path) === `/${bucket}/${key}`;

/** GET of the object's bytes at an S3 source. */
export const getNear =
  (key: string): Match =>
  (request) =>
    request.method === "GET" && ofS3("near", key, request);

/** Any request about the object at an S3 source. */
export const aboutNear =
  (key: string): Match =>
  (request) =>
    ofS3("near", key, request);

/** The requests that may make the object at the destination: S3 or Cloud Storage. */
export const putFar =
  (key: string): Match =>
  (request) =>
    (request.method === "PUT" && ofS3("far", key, request)) ||
    (request.path.startsWith("/upload/") && request.query.get("name") === key && request.method === "POST");

export const aboutFar =
  (key: string): Match =>
  (request) =>
    ofS3("far", key, request) ||
    request.query.get("name") === key ||
    decodeURIComponent(request.path).endsWith(`/b/far/o/${key}`);

/** A page of the source's listing in S3 that goes on behind a key with this beginning. */
export const listPage =
  (after: string): Match =>
  ({ path, query }) => {
    const token = query.get("continuation-token");
    return (
      /^\/near\/?$/.test(path) && token !== null && Buffer.from(token, "base64url").toString().startsWith(`k${after}`)
    );
  };

/** Something that a scenario lets happen when it is time. */
export interface Happening {
  readonly promise: Promise<void>;
  happen(): void;
}

export function happening(): Happening {
  let happen: () => void = () => {};
  const promise = new Promise<void>((resolve) => {
    happen = resolve;
  });
  return { promise, happen };
}

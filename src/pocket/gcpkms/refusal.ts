/** An error as Google's APIs answer it: a canonical code (google.rpc.Code), over HTTP also its name and a status. */
export const CODES = {
  INVALID_ARGUMENT: { grpc: 3, http: 400 },
  NOT_FOUND: { grpc: 5, http: 404 },
  PERMISSION_DENIED: { grpc: 7, http: 403 },
  RESOURCE_EXHAUSTED: { grpc: 8, http: 429 },
  FAILED_PRECONDITION: { grpc: 9, http: 400 },
  UNIMPLEMENTED: { grpc: 12, http: 404 },
  INTERNAL: { grpc: 13, http: 500 },
} as const;

export class GcpRefusal extends Error {
  readonly status: keyof typeof CODES;

  constructor(status: keyof typeof CODES, message: string) {
    super(message);
    this.status = status;
  }
}

export const exhausted = (): GcpRefusal =>
  new GcpRefusal("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Cryptographic requests'.");
export const invalid = (message: string): GcpRefusal => new GcpRefusal("INVALID_ARGUMENT", message);

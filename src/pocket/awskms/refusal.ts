/** An error as AWS KMS answers it: HTTP 400 and `{"__type": ..., "message": ...}`. */
export class AwsRefusal extends Error {
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

export const validation = (message: string): AwsRefusal => new AwsRefusal("ValidationException", message);

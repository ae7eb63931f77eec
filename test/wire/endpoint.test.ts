import { describe, expect, it } from "vitest";
import { asSealiftError } from "../../src/core/error.ts";
import { checkEndpoint, isLoopbackOrigin } from "../../src/wire/endpoint.ts";

const codeOf = (endpoint: string, allowInsecure = false): string => {
  try {
    return checkEndpoint(endpoint, { allowInsecure });
  } catch (error) {
    return asSealiftError(error).code;
  }
};

describe("endpoints", () => {
  it.each([
    ["https://s3.example.com", "https://s3.example.com"],
    ["https://s3.example.com:443/", "https://s3.example.com"],
    ["https://S3.Example.com:8443", "https://s3.example.com:8443"],
    ["http://127.0.0.1:7480", "http://127.0.0.1:7480"],
    ["http://127.9.9.9", "http://127.9.9.9"],
    ["http://localhost:9000/", "http://localhost:9000"],
    ["http://[::1]:9000", "http://[::1]:9000"],
    ["http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]"],
  ])("%s is %s", (endpoint, origin) => expect(codeOf(endpoint)).toBe(origin));

  it.each([
    "http://10.0.0.1:9000",
    "http://s3.example.com",
    "http://0.0.0.0",
    "http://localhost.example.com",
    "http://127.0.0.1.example.com",
  ])("%s is plain http and needs the word for it", (endpoint) => {
    expect(codeOf(endpoint)).toBe("ENDPOINT_REFUSED");
    expect(codeOf(endpoint, true)).toBe(new URL(endpoint).origin);
  });

  it.each([
    "https://169.254.169.254",
    "http://169.254.170.2/",
    "http://2852039166",
    "http://0xA9FEA9FE",
    "http://0251.0376.0251.0376",
    "https://[fe80::1]",
    "https://[febf::1]",
    "https://[fd00:ec2::254]",
    "https://[::ffff:169.254.169.254]",
    "https://metadata.google.internal",
    "http://METADATA.google.internal.",
    "https://metadata.goog",
    "",
    "s3.example.com",
    "ftp://s3.example.com",
    "file:///etc/passwd",
    "https://user:hunter2@s3.example.com",
    "https://s3.example.com/path",
    "https://s3.example.com/?x",
    "https://s3.example.com/#x",
  ])("%s is refused whatever is allowed", (endpoint) => expect(codeOf(endpoint, true)).toBe("ENDPOINT_REFUSED"));

  it("never repeats a password", () => {
    for (const endpoint of ["https://u:hunter2@h", "u:hunter2@h", "hunter2"]) {
      try {
        checkEndpoint(endpoint, {});
      } catch (error) {
        expect(asSealiftError(error).line()).not.toContain("hunter2");
      }
    }
  });

  it("knows this machine", () => {
    expect(isLoopbackOrigin("http://[::1]:1")).toBe(true);
    expect(isLoopbackOrigin("https://example.com")).toBe(false);
  });
});

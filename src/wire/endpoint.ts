/**
 * Where requests with credentials may go. An endpoint comes from a job file, and a job file may come from somebody else: the
 * metadata addresses of clouds hand out credentials to whoever asks from inside, so they are never an endpoint. The text of an
 * endpoint is judged before anything is opened; the addresses that its name resolves to, at each new connection.
 */
import { lookup } from "node:dns";
import { BlockList, isIPv4, isIPv6, type LookupFunction } from "node:net";
import { SealiftError } from "../core/error.ts";

const METADATA_HOSTS = new Set([
  "metadata",
  "metadata.google.internal",
  "metadata.goog",
  "instance-data",
  "instance-data.ec2.internal",
]);

/** In hexadecimal, as IPv6 forms of an IPv4 address spell it. */
const METADATA_IPV4 = [
  ["169.254.0.0", "a9fe:0", 16], // RFC 3927; every large cloud's metadata service
  ["100.100.100.200", "6464:64c8", 32], // Alibaba Cloud
  ["192.0.0.192", "c000:c0", 32], // Oracle Cloud
  ["168.63.129.16", "a83f:8110", 32], // Azure's wire server
] as const;

const metadata = new BlockList();
for (const [address, hex, bits] of METADATA_IPV4) {
  metadata.addSubnet(address, bits); // also finds ::ffff:a.b.c.d
  metadata.addSubnet(`::${hex}`, 96 + bits, "ipv6"); // RFC 4291, 2.5.5.1
  metadata.addSubnet(`64:ff9b::${hex}`, 96 + bits, "ipv6"); // RFC 6052
  metadata.addSubnet(`2002:${hex}::`, 16 + bits, "ipv6"); // RFC 3056
}
metadata.addSubnet("fe80::", 10, "ipv6"); // RFC 4291, 2.5.6
metadata.addSubnet("fd00:ec2::", 32, "ipv6"); // EC2's services of an instance
metadata.addAddress("fd20:ce::254", "ipv6"); // Google Compute Engine

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8);
loopback.addAddress("::1", "ipv6");

/** The origin (`https://host[:port]`). ENDPOINT_REFUSED for plain http beyond this machine, metadata addresses, paths and logins. */
export function checkEndpoint(endpoint: string, options: { readonly allowInsecure?: boolean | undefined }): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  // The text itself is not shown: a password may stand in it.
  if (url === undefined) throw refused("the endpoint is not a URL (https://host[:port])");
  if (url.protocol !== "https:" && url.protocol !== "http:") throw refused("an endpoint begins with https://");
  if (url.username !== "" || url.password !== "") throw refused("an endpoint holds no user name and no password");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw refused(`${url.origin}: an endpoint is an origin, without path, query or fragment`);
  }
  const host = bareHost(url);
  if (METADATA_HOSTS.has(host) || matches(metadata, host)) {
    throw refused(`${url.origin} is a link-local or metadata address`);
  }
  if (url.protocol === "http:" && !isLoopback(host) && options.allowInsecure !== true) {
    throw refused(`${url.origin} is plain http: bytes and signatures would be readable on the way`);
  }
  return url.origin;
}

/** True where requests never leave this machine. */
export const isLoopbackOrigin = (origin: string): boolean => isLoopback(bareHost(new URL(origin)));

/**
 * Name resolution for connections that carry credentials. ENDPOINT_REFUSED where a name leads to a metadata address, or a name
 * that counts as this machine (and may be spoken to without TLS) leads to another one. Asked at every connection, so that a name
 * that changes its mind is noticed; `resolve` is the system's own.
 */
export const guardedLookup =
  (resolve: typeof lookup = lookup): LookupFunction =>
  (hostname, options, done) => {
    resolve(hostname, { ...options, all: true }, (error, found) => {
      const [first] = found ?? [];
      if (error || first === undefined) return done(error ?? new Error(`${hostname} has no address`), "", 0);
      const bad = found.find(({ address }) => matches(metadata, address));
      const away = isLoopback(hostname) ? found.find(({ address }) => !matches(loopback, address)) : undefined;
      const refusal =
        (bad && refused(`${hostname} leads to ${bad.address}, a link-local or metadata address`)) ??
        (away && refused(`${hostname} is this machine by its name, and leads to ${away.address}`));
      if (refusal) return done(refusal, "", 0);
      if (options.all) done(null, found);
      else done(null, first.address, first.family);
    });
  };

/** The URL parser has already turned `0x7f.1`, `2130706433` and their like into dotted form. */
const bareHost = (url: URL): string => url.hostname.replaceAll(/^\[|\]$|\.$/g, "");

const isLoopback = (host: string): boolean =>
  host === "localhost" || host.endsWith(".localhost") || matches(loopback, host);

/** BlockList also finds an IPv4 address written as `::ffff:a.b.c.d`. */
function matches(list: BlockList, host: string): boolean {
  if (isIPv4(host)) return list.check(host, "ipv4");
  return isIPv6(host) && list.check(host, "ipv6");
}

const refused = (why: string): SealiftError => new SealiftError("ENDPOINT_REFUSED", why);

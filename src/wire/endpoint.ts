/**
 * Where requests with credentials may go. An endpoint comes from a job file, and a job file may come from somebody else: the
 * metadata addresses of clouds hand out credentials to whoever asks from inside, so they are never an endpoint. A name that
 * resolves to such an address is not noticed here; TLS verification stands in its way.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net";
import { SealiftError } from "../core/error.ts";

const METADATA_HOSTS = new Set(["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"]);

const metadata = new BlockList();
metadata.addSubnet("169.254.0.0", 16); // RFC 3927
metadata.addSubnet("fe80::", 10, "ipv6"); // RFC 4291, 2.5.6
metadata.addAddress("fd00:ec2::254", "ipv6"); // EC2 instance metadata over IPv6

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

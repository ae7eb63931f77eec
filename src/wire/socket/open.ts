/** One socket to one origin: resolved under guard, in TLS where the origin says so. */
import { connect, isIP, type LookupFunction, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { guardedLookup } from "../endpoint.ts";
import type { HttpOptions } from "../http.ts";

/** As undici has it: a peer that vanished without a word is noticed while a request waits for it. */
const PROBE_MS = 60_000;

export class Door {
  readonly origin: string;
  /** As a Host header names it. */
  readonly host: string;
  readonly #isTls: boolean;
  readonly #name: string;
  readonly #port: number;
  readonly #ca: string | undefined;
  readonly #lookup: LookupFunction;
  /** The last TLS session, which spares the next connection half of its handshake. */
  #session: Buffer | undefined;

  constructor({ origin, ca, lookup }: HttpOptions) {
    const url = new URL(origin);
    this.origin = origin;
    this.host = url.host;
    this.#isTls = url.protocol === "https:";
    this.#name = url.hostname.replaceAll(/^\[|\]$/g, "");
    this.#port = Number(url.port || (this.#isTls ? 443 : 80));
    this.#ca = ca;
    this.#lookup = lookup ?? guardedLookup();
  }

  /** `ready` is told once requests may be written. */
  open(onread: OnReadOpts, ready: () => void): Socket {
    const to = {
      host: this.#name,
      port: this.#port,
      lookup: this.#lookup,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_MS,
      onread,
    };
    return this.#isTls ? this.#openTls(to, ready) : connect(to, ready);
  }

  #openTls(
    to: { readonly host: string; readonly port: number; readonly onread: OnReadOpts },
    ready: () => void,
  ): Socket {
    const socket = connectTls(
      {
        ...to,
        // Said, so that no variable of the environment unsays it.
        rejectUnauthorized: true,
        ALPNProtocols: ["http/1.1"],
        // RFC 6066, 3: addresses are no server names.
        ...(isIP(to.host) === 0 ? { servername: to.host } : {}),
        ...(this.#ca === undefined ? {} : { ca: this.#ca }),
        ...(this.#session === undefined ? {} : { session: this.#session }),
      },
      ready,
    );
    socket.on("session", (session) => {
      this.#session = session;
    });
    return socket;
  }
}

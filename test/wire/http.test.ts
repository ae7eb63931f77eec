/** The client that is used, by the laws of all clients; undici.test.ts has the other one. */
import { httpSuite } from "./http.suite.ts";

httpSuite("socket");

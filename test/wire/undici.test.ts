/** The client behind `--http undici`, by the same laws, and what it does otherwise. */
import { httpSuite } from "./http.suite.ts";

const CODING = "what is not chunked is a body until the end of the connection to it (RFC 9112, 6.3, 4)";
const INTERIM = "it closes the connection on a 100 that it did not ask for";
httpSuite("undici", {
  "an answer by 100 before the answer, in one piece": INTERIM,
  "an answer by 100 before the answer, byte by byte": INTERIM,
  "another coding is no answer, and its connection no other's": CODING,
  "a coding before chunked is no answer, and its connection no other's": "it reads the last coding alone",
  "chunked twice is no answer, and its connection no other's": "it reads the last coding alone",
  "chunked, misspelt is no answer, and its connection no other's": CODING,
  "chunks in HTTP/1.0 is no answer, and its connection no other's": "it reads them as those of HTTP/1.1",
  "another version is no answer, and its connection no other's": "its parser knows the status line of HTTP/2.0",
  "headers are in lower case, trimmed, joined where repeated, one character a byte": "it reads values as UTF-8",
  "a connection is used again, the one used last first": "its pool takes the first that is free",
  "a question that meets the end of a kept connection is asked once more on another, and only once":
    "it leaves that to whoever asked",
  "a length that is not the body's is refused before anything is sent": "it calls that a fault of the connection",
  "an answer before the body is read is heard, and the connection not used again":
    "it writes the next request behind what is left of the body",
  "a reset is an error, also where the body lasts until the end": "a reset ends such a body for it",
  "dismissing does not throw, whatever happens to the rest": "sometimes it waits on for a rest that does not come",
  "a head, an interim answer or a trailer without end is refused": "it reads chunk extensions without bound",
});

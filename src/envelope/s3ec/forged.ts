/**
 * One answer for every way in which key and ciphertext do not belong together: wrong key length, commitment, tag, padding, cut
 * body. Telling them apart would make an oracle for whoever can write the bucket (CVE-2020-8911). A tag that does not fit
 * may also be the PHP client's `Aad` option, which binds bytes that are stored nowhere.
 */
import { SealiftError } from "../../core/error.ts";

export const forged = (): SealiftError =>
  new SealiftError("SEAL_FORGED", "the body does not open under this data key and envelope");

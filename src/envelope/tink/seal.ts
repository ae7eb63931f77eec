/** Names of the fixed parameters of a Tink seal: base64 but for the type. */
export const NONCE = "nonce";
export const PREFIX_TYPE = "prefix-type";
export const PREFIX = "prefix";
/** What readers have to pass as associated data; absent: nothing. */
export const ASSOCIATED = "associated";

/** Times as servers write them, each second's text made once. */
const texts = new Map<number, { readonly http: string; readonly iso: string }>();
const KEPT_MAX = 1000;

function textsOf(ms: number) {
  const second = Math.floor(ms / 1000);
  let found = texts.get(second);
  if (found === undefined) {
    const date = new Date(second * 1000);
    if (texts.size >= KEPT_MAX) texts.clear();
    texts.set(second, (found = { http: date.toUTCString(), iso: date.toISOString() }));
  }
  return found;
}

export const httpDate = (ms: number): string => textsOf(ms).http;
/** In whole seconds, as S3 lists. */
export const isoDate = (ms: number): string => textsOf(ms).iso;

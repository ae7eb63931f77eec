/** What the benchmarks' drawings share: they need no program but a browser. */
export const WIDTH = 860;
export const COLOURS = ["#1b6ca8", "#c2410c", "#15803d", "#7c3aed", "#a16207", "#be185d"];

export const drawing = (height: number, parts: readonly string[]): string =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");

/** Text as it may stand in an SVG document. */
export function svgText(text: string): string {
  const marks: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]/g, (mark) => marks[mark] ?? mark).replaceAll(/\p{Cc}/gu, ' ');
}

/**
 * The ratios of a run as a picture: a bar for each work and reference, on a logarithmic scale, to the
 * right where ours is faster. Light or dark as the reader's page is.
 */

/** @typedef {import('./rows.mjs').Row} Row */

const width = 980;
const labelWidth = 560;
const barHeight = 14;
const rowHeight = 22;
const top = 64;
/** The ends of the scale; what is beyond is cut off, and its number tells. */
const [least, most] = [0.1, 100];
const ticks = [0.1, 0.5, 1, 2, 10, 100];

/** @param {number} ratio */
function placeOf(ratio) {
  const bounded = Math.min(most, Math.max(least, ratio));
  return labelWidth + ((width - labelWidth - 70) * Math.log(bounded / least)) / Math.log(most / least);
}

/** @param {string} text */
function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** @param {number} ratio */
function ratioText(ratio) {
  return ratio >= 20 ? String(Math.round(ratio)) : ratio.toPrecision(2);
}

/** @param {{ title: string, ratio: number }} bar @param {number} index */
function barText({ title, ratio }, index) {
  const y = top + index * rowHeight;
  const [zero, end] = [placeOf(1), placeOf(ratio)];
  const [x, length] = [Math.min(zero, end), Math.max(1, Math.abs(end - zero))];
  const after = Math.max(zero, end) + 6;
  return [
    `<text class="label" x="${labelWidth - 12}" y="${y + barHeight - 3}">${escape(title)}</text>`,
    `<rect class="${ratio >= 1 ? 'faster' : 'slower'}" x="${x.toFixed(1)}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>`,
    `<text x="${after.toFixed(1)}" y="${y + barHeight - 3}">${ratioText(ratio)}</text>`,
  ].join('\n');
}

/** Only what is faster the higher it is has a bar. @param {readonly Row[]} rows @param {string} under a line about the machine */
export function chartText(rows, under) {
  const bars = rows.flatMap(({ work, unit, against, ratio }) =>
    ratio !== undefined && unit.endsWith('/s') ? [{ title: `${work} / ${against}`, ratio }] : [],
  );
  const bottom = top + bars.length * rowHeight;
  const lines = ticks.map((tick) => {
    const x = placeOf(tick).toFixed(1);
    return `<line class="${tick === 1 ? 'one' : 'tick'}" x1="${x}" x2="${x}" y1="${top - 8}" y2="${bottom}"/>\n<text class="scale" x="${x}" y="${top - 14}">${tick}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom + 20}" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>pachmount: rates of the mount divided by those of the references</title>
<style>
text { fill: #333; } .label { text-anchor: end; } .scale { text-anchor: middle; fill: #777; } .head { font-size: 15px; }
.tick { stroke: #ddd; } .one { stroke: #777; } .faster { fill: #4a7a96; } .slower { fill: #a8a8a8; }
@media (prefers-color-scheme: dark) {
  text { fill: #ccc; } .scale { fill: #999; } .tick { stroke: #3a3a3a; } .one { stroke: #999; } .faster { fill: #6fa8c7; } .slower { fill: #6b6b6b; }
}
</style>
<text class="head" x="12" y="20">Ours / reference: rates, medians, logarithmic</text>
<text class="scale" style="text-anchor: start" x="12" y="38">${escape(under)}</text>
${lines.join('\n')}
${bars.map(barText).join('\n')}
</svg>
`;
}

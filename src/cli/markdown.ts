/**
 * Markdown as a terminal shows it: the forms that the guide uses and no others (headings, paragraphs,
 * lists, tables, code, links).
 */
import { padded, widthOf } from './quote.ts';

/** Without what is there for programs only. */
export function withoutRemarks(markdown: string): string {
  return markdown.replaceAll(/<!--[\s\S]*?-->\n*/g, '');
}

/** Laid out for so many columns; `styled`: with bold and underlined text. */
export function laidOut(markdown: string, columns: number, styled: boolean): string {
  const style = (text: string, code: number): string =>
    // Word by word, so that a line can end between any two.
    styled ? text.replaceAll(/[^ ]+/g, (word) => `\u001b[${code}m${word}\u001b[0m`) : text;
  const inline = (text: string): string =>
    text
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/)
      .map((part, at) => {
        if (at % 2 === 0) return part;
        return part.startsWith('`') ? style(part.slice(1, -1), 1) : style(part.replaceAll('*', ''), 4);
      })
      .join('');
  const block = (lines: readonly string[]): string[] => {
    const [first = ''] = lines;
    const [, marker] = /^(\s*(?:-|\d+\.) )/.exec(first) ?? [];
    if (first.startsWith('```')) return lines.slice(1, -1).map((line) => (line === '' ? '' : `    ${line}`));
    if (first.startsWith('#')) return [style(inline(first.replace(/^#+ /, '')), first.startsWith('# ') ? 4 : 1)];
    if (first.startsWith('|'))
      return table(
        lines.map((line) => cellsOf(line).map(inline)),
        columns,
      );
    if (first.startsWith('![')) return [];
    const text = inline(lines.map((line) => line.trim()).join(' ')).slice(marker?.length ?? 0);
    return wrapped(text, columns, marker ?? '', ' '.repeat(marker?.length ?? 0));
  };
  const blocks = blocksOf(withoutRemarks(markdown));
  return `${blocks
    .map(({ lines, tight }) => ({ text: block(lines).join('\n'), tight }))
    .filter(({ text }) => text !== '')
    .map(({ text, tight }, at) => (at === 0 ? text : `${tight ? '\n' : '\n\n'}${text}`))
    .join('')}\n`;
}

interface Block {
  readonly lines: string[];
  /** No empty line before it. */
  readonly tight: boolean;
}

/** An item of a list is a block, and so is each piece of code with its fences. */
function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | undefined;
  for (const line of markdown.split('\n')) {
    const inCode = open?.lines[0]?.startsWith('```');
    if (inCode) {
      open?.lines.push(line);
      if (line.startsWith('```')) open = undefined;
    } else if (line === '') {
      open = undefined;
    } else if (open && !/^(?:```|#|\s*(?:-|\d+\.) )/.test(line)) {
      open.lines.push(line);
    } else {
      open = { lines: [line], tight: open !== undefined };
      blocks.push(open);
    }
  }
  return blocks;
}

function cellsOf(row: string): string[] {
  return row
    .slice(1, row.lastIndexOf('|'))
    .split('|')
    .map((cell) => cell.trim());
}

/** The last column takes what is left of the line. */
function table(rows: readonly string[][], columns: number): string[] {
  const shown = rows.filter((row) => !row.every((cell) => /^-+$/.test(cell)));
  const widths = (shown[0] ?? [])
    .slice(0, -1)
    .map((_, column) => Math.max(...shown.map((row) => widthOf(row[column] ?? ''))))
    .map((width) => Math.min(width, Math.floor(columns / 2)));
  const indent = ' '.repeat(widths.reduce((sum, width) => sum + width + 2, 0));
  return shown.flatMap((row) => {
    const head = widths.map((width, column) => `${padded(row[column] ?? '', width)}  `).join('');
    // What is too wide for its column has a line of its own.
    if (widthOf(head) > indent.length) return [head.trimEnd(), ...wrapped(row.at(-1) ?? '', columns, indent, indent)];
    return wrapped(row.at(-1) ?? '', columns, head, indent);
  });
}

/** Lines of at most so many columns, the first begun by `head`, further ones by `indent`. */
function wrapped(text: string, columns: number, head: string, indent: string): string[] {
  const lines: string[] = [];
  let line = head;
  let empty = true;
  for (const word of text.split(' ').filter((each) => each !== '')) {
    if (!empty && widthOf(line) + 1 + widthOf(word) > columns) {
      lines.push(line.trimEnd());
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line.trimEnd()];
}

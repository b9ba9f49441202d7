/**
 * Notebooks as Jupyter writes them, for tests.
 */
export function code(source: string, tags: readonly string[] = []): object {
  return { cell_type: 'code', execution_count: 1, metadata: { tags }, outputs: [], source: source.split(/(?<=\n)/) };
}

export function heading(source: string): object {
  return { cell_type: 'markdown', metadata: {}, source };
}

export function notebook(cells: readonly object[]): string {
  const metadata = { language_info: { name: 'python', version: '3.11.4' } };
  return JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata, cells });
}

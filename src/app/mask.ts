/**
 * Shows `***` where a text has a value that nobody may read.
 */

/** Shorter ones would be found in words and numbers that have nothing to do with them. */
const lengthMin = 4;
const shown = '***';

export class Mask {
  /** The longest first, since one may be a part of another. */
  private values: readonly string[] = [];

  get isEmpty(): boolean {
    return this.values.length === 0;
  }

  add(value: string): void {
    // Files of secrets mostly end with a line break that commands take off.
    const text = value.trim();
    if (text.length < lengthMin || this.values.includes(text)) return;
    this.values = [...this.values, text].sort((a, b) => b.length - a.length);
  }

  text(text: string): string {
    return this.values.reduce((masked, value) => masked.replaceAll(value, shown), text);
  }

  /** For a text that comes in pieces. What may be the beginning of a value waits for the next piece. */
  stream(): { write(text: string): string; end(): string } {
    let held = '';
    return {
      write: (text) => {
        const all = this.text(held + text);
        const from = all.length - this.heldLength(all);
        held = all.slice(from);
        return all.slice(0, from);
      },
      end: () => {
        const rest = held;
        held = '';
        return rest;
      },
    };
  }

  private heldLength(text: string): number {
    const beginnings = this.values.map((value) => {
      let length = Math.min(value.length - 1, text.length);
      while (length > 0 && !value.startsWith(text.slice(text.length - length))) length -= 1;
      return length;
    });
    return Math.max(0, ...beginnings);
  }
}

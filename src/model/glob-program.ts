/**
 * Patterns as programs for a small machine, and that machine. It never does the same step at the
 * same character twice, so its time is bounded by pattern times path, whatever the pattern.
 */
import { PachError } from '../base/errors.ts';
import type { CharacterSet, Part, Repeat } from './glob-parse.ts';

type Op =
  | { readonly op: 'literal'; readonly code: number }
  /** One character but `/`, or with `slash` any one. */
  | { readonly op: 'character'; readonly slash: boolean }
  | { readonly op: 'set'; readonly set: CharacterSet }
  /** Tries `first`, then `second` when that fails. */
  | { op: 'split'; first: number; second: number }
  | { op: 'jump'; to: number }
  | { readonly op: 'save'; readonly slot: number }
  /** Consumes a part of a name that the program at `start` does not match. */
  | { op: 'not'; start: number; next: number }
  | { readonly op: 'match' };

const slashCode = 0x2f;
const stepsMax = 2 ** 26;

export interface Program {
  readonly ops: readonly Op[];
  /** Number of captures. */
  readonly captures: number;
}

/** What makes a run succeed: a match of the whole text, or reaching its end with any state left. */
export type Goal = 'whole' | 'reach';

export function compileParts(parts: readonly Part[]): Program {
  const compiler = new Compiler();
  compiler.sequence(parts);
  compiler.ops.push({ op: 'match' });
  return { ops: compiler.ops, captures: compiler.captures };
}

class Compiler {
  readonly ops: Op[] = [];
  captures = 0;

  sequence(parts: readonly Part[]): void {
    for (let i = 0; i < parts.length; i += 1) {
      const part = parts[i] as Part;
      if (part.kind !== 'any') this.part(part);
      else if (!isSlash(parts[i - 1])) this.repeat('many', anything);
      else if (i === parts.length - 1) this.repeat('some', anything);
      else if (!isSlash(parts[i + 1])) this.repeat('many', anything);
      else {
        // `/**/` is any number of names, also none.
        const slash = parts[i + 1] as Part;
        this.repeat('maybe', () => {
          this.repeat('many', anything);
          this.part(slash);
        });
        i += 1;
      }
    }
  }

  private part(part: Part): void {
    switch (part.kind) {
      case 'literal':
        this.ops.push({ op: 'literal', code: part.code });
        return;
      case 'one':
        this.ops.push({ op: 'character', slash: false });
        return;
      case 'star':
        this.repeat('many', { op: 'character', slash: false });
        return;
      case 'any':
        this.repeat('many', anything);
        return;
      case 'set':
        this.ops.push({ op: 'set', set: part.set });
        return;
      case 'group':
        this.captured(part.captured, () => this.repeat(part.repeat, () => this.choices(part.choices)));
        return;
      case 'not':
        this.captured(true, () => {
          const not = { op: 'not' as const, start: 0, next: 0 };
          this.ops.push(not);
          not.start = this.ops.length;
          this.choices(part.choices);
          this.ops.push({ op: 'match' });
          not.next = this.ops.length;
        });
    }
  }

  private captured(captured: boolean, body: () => void): void {
    if (!captured) {
      body();
      return;
    }
    const slot = this.captures * 2;
    this.captures += 1;
    this.ops.push({ op: 'save', slot });
    body();
    this.ops.push({ op: 'save', slot: slot + 1 });
  }

  private repeat(repeat: Repeat, body: Op | (() => void)): void {
    const { ops } = this;
    const emit = typeof body === 'function' ? body : () => void ops.push(body);
    const start = ops.length;
    if (repeat === 'once') emit();
    else if (repeat === 'some') {
      emit();
      ops.push({ op: 'split', first: start, second: ops.length + 1 });
    } else {
      const split = { op: 'split' as const, first: start + 1, second: 0 };
      ops.push(split);
      emit();
      if (repeat === 'many') ops.push({ op: 'jump', to: start });
      split.second = ops.length;
    }
  }

  private choices(choices: readonly (readonly Part[])[]): void {
    const { ops } = this;
    const ends: { op: 'jump'; to: number }[] = [];
    for (const [index, choice] of choices.entries()) {
      const split = { op: 'split' as const, first: ops.length + 1, second: 0 };
      const more = index < choices.length - 1;
      if (more) ops.push(split);
      this.sequence(choice);
      if (!more) break;
      const end = { op: 'jump' as const, to: 0 };
      ops.push(end);
      ends.push(end);
      split.second = ops.length;
    }
    for (const end of ends) end.to = ops.length;
  }
}

const anything: Op = { op: 'character', slash: true };

function isSlash(part: Part | undefined): boolean {
  return part?.kind === 'literal' && part.code === slashCode;
}

/** Positions of the captures (start, end, start, …; -1 where one took no part), or undefined. */
export function runProgram(program: Program, text: string, goal: Goal): number[] | undefined {
  if (program.ops.length * text.length > stepsMax) {
    throw new PachError('usage', { what: `${text.slice(0, 80)}…`, why: 'the pattern is too long for so long a path' });
  }
  const machine = new Machine(program, text);
  return machine.run({ start: 0, end: program.ops.length, from: 0, limit: text.length, goal })
    ? machine.saved
    : undefined;
}

interface Run {
  /** The part of the program that it stays in. */
  readonly start: number;
  readonly end: number;
  readonly from: number;
  /** Where the text ends for this run. */
  readonly limit: number;
  /** `ends`: `ended` is called with the end of every match. */
  readonly goal: Goal | 'ends';
  readonly ended?: (at: number) => void;
}

class Machine {
  readonly saved: number[];
  private readonly ops: readonly Op[];
  private readonly text: string;
  private readonly notEnds = new Map<number, Set<number>>();

  constructor({ ops, captures }: Program, text: string) {
    this.ops = ops;
    this.text = text;
    this.saved = Array.from({ length: captures * 2 }, () => -1);
  }

  run(run: Run): boolean {
    const { start, from, limit, goal } = run;
    const width = limit - from + 1;
    const visited = new Uint8Array((run.end - start) * width);
    // Threads to be tried, the next one last, each as two numbers; with a negative first one
    // the second goes back into that slot of `saved`.
    const threads = [start, from];
    for (let at = threads.pop(), pc = threads.pop(); at !== undefined && pc !== undefined;) {
      if (pc < 0) this.saved[-pc - 1] = at;
      else {
        const cell = (pc - start) * width + at - from;
        if (visited[cell] === 0) {
          visited[cell] = 1;
          if (goal === 'reach' && at === limit) return true;
          if (this.ops[pc]?.op === 'match') {
            if (goal === 'whole' && at === limit) return true;
            run.ended?.(at);
          } else this.step(threads, pc, at, limit);
        }
      }
      at = threads.pop();
      pc = threads.pop();
    }
    return false;
  }

  private step(threads: number[], pc: number, at: number, limit: number): void {
    const op = this.ops[pc] as Op;
    switch (op.op) {
      case 'split':
        threads.push(op.second, at, op.first, at);
        return;
      case 'jump':
        threads.push(op.to, at);
        return;
      case 'save':
        threads.push(-op.slot - 1, this.saved[op.slot] ?? -1, pc + 1, at);
        this.saved[op.slot] = at;
        return;
      case 'not':
        this.stepNot(threads, op, at, limit);
        return;
      case 'match':
        return;
      case 'literal':
      case 'character':
      case 'set': {
        const code = at < limit ? this.text.codePointAt(at) : undefined;
        if (code !== undefined && takes(op, code)) threads.push(pc + 1, at + (code > 0xffff ? 2 : 1));
      }
    }
  }

  private stepNot(threads: number[], op: Op & { op: 'not' }, at: number, limit: number): void {
    const slash = this.text.indexOf('/', at);
    const end = slash < 0 || slash > limit ? limit : slash;
    const key = op.start * (this.text.length + 1) + at;
    let ends = this.notEnds.get(key);
    if (!ends) {
      const found = new Set<number>();
      this.run({ start: op.start, end: op.next, from: at, limit: end, goal: 'ends', ended: (to) => found.add(to) });
      ends = found;
      this.notEnds.set(key, ends);
    }
    for (let to = at; to <= end; to += 1) {
      if (!ends.has(to) && !isInside(this.text, to)) threads.push(op.next, to);
    }
  }
}

/** True between the two halves of one character. */
function isInside(text: string, at: number): boolean {
  return at > 0 && (text.codePointAt(at - 1) ?? 0) > 0xffff;
}

function takes(op: Extract<Op, { op: 'literal' | 'character' | 'set' }>, code: number): boolean {
  switch (op.op) {
    case 'literal':
      return op.code === code;
    case 'character':
      return op.slash || code !== slashCode;
    case 'set':
      return code !== slashCode && op.set.ranges.some(([from, to]) => code >= from && code <= to) !== op.set.negated;
  }
}

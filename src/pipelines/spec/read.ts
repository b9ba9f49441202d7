/**
 * Reads a document by a table of fields: every field is known, has the shape it must have, and is
 * spelled once. What is not refused comes out under its name in camelCase.
 */
import { Fault, type Path } from './fault.ts';
import { inputFields } from './input-fields.ts';
import { nearest } from './nearest.ts';
import { snakeCase, type Field, type Fields, type Shape } from './shape.ts';
import { bytesOf, coresOf, durationMsOf, percentOf } from '../../model/units.ts';
import type { ValuesOf } from './values.ts';

/** How deep inputs may be nested. */
const depthMax = 64;
const shownMax = 40;

/** Reads `value` by `fields`. Throws `Fault`. */
export function readFields<F extends Fields>(fields: F, value: unknown, path: Path): ValuesOf<F> {
  if (path.length > depthMax) throw new Fault(path.slice(0, depthMax), 'it is nested too deep');
  if (!isObject(value)) throw new Fault(path, `it must be an object with fields, not ${shown(value)}`);
  const values: Record<string, unknown> = {};
  for (const [spelled, each] of Object.entries(value)) {
    const name = canonical(fields, spelled);
    if (name === undefined) throw unknownField(fields, spelled, path);
    if (name !== spelled && Object.hasOwn(value, name)) {
      throw new Fault([...path, name], `it is given twice, as ${name} and as ${spelled}`, {
        next: 'remove one of them',
      });
    }
    const read = readField(fields[name] as Field, each, [...path, name]);
    if (read !== undefined) values[name] = read;
  }
  for (const [name, field] of Object.entries(fields)) {
    if (field.use === 'mapped' && field.needed !== undefined && values[name] === undefined) {
      throw new Fault([...path, name], field.needed);
    }
  }
  return values as ValuesOf<F>;
}

/** The fields of a document that was read which matter on a cluster only, as `schedulingSpec.nodeSelector`. */
export function keptFields(fields: Fields, value: unknown, above = ''): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => keptFields(fields, item, above)))];
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([spelled, each]) => {
    const field = fields[canonical(fields, spelled) ?? ''];
    if (each === null || field === undefined || field.use === 'refused') return [];
    if (field.use === 'kept') return [`${above}${spelled}`];
    const { shape } = field;
    const inner = shape.kind === 'list' ? shape.of : shape;
    return inner.kind === 'fields' ? keptFields(inner.fields, each, `${above}${spelled}.`) : [];
  });
}

function canonical(fields: Fields, spelled: string): string | undefined {
  if (Object.hasOwn(fields, spelled)) return spelled;
  return Object.keys(fields).find((name) => snakeCase(name) === spelled);
}

function unknownField(fields: Fields, spelled: string, path: Path): Fault {
  const names = Object.keys(fields).flatMap((name) => [name, snakeCase(name)]);
  const meant = nearest(spelled, spelled.includes('_') ? names.toReversed() : names);
  const next = meant === undefined ? undefined : `did you mean ${meant}?`;
  return new Fault([...path, spelled], 'there is no such field', { next });
}

/** undefined for what is refused and asks for nothing, and for null, which is as good as nothing. */
function readField(field: Field, value: unknown, path: Path): unknown {
  if (value === null || value === undefined) return undefined;
  if (field.use === 'refused') {
    if (asksForNothing(value) || field.unless.includes(value as string)) return undefined;
    throw new Fault(path, field.why, { code: 'unsupported' });
  }
  return readShape(field.shape, value, path);
}

function asksForNothing(value: unknown): boolean {
  return value === false || value === '' || value === 0 || (Array.isArray(value) && value.length === 0);
}

function readShape(shape: Shape, value: unknown, path: Path): unknown {
  switch (shape.kind) {
    case 'fields':
      return readFields(shape.fields, value, path);
    case 'inputs':
      return listOf(value, path).map((each, index) => readFields(inputFields, each, [...path, index]));
    case 'list':
      return listOf(value, path).map((each, index) => readShape(shape.of, each, [...path, index]));
    case 'map':
      return readMap(value, path);
    case 'text':
      return readText(value, path, shape.oneOf);
    case 'json':
      return readJson(value, path, shape.holds);
    case 'flag':
      if (typeof value !== 'boolean') throw new Fault(path, `it must be true or false, not ${shown(value)}`);
      return value;
    case 'whole':
      return readWhole(value, path, shape);
    case 'bytes':
      return readUnit(bytesOf(value), value, path, 'a size such as 256MB, 1Gi or 4096');
    case 'cores':
      return readUnit(coresOf(value), value, path, 'a number of cores such as 1.5 or "500m"');
    case 'duration':
      return readUnit(durationMsOf(value), value, path, 'a time such as "500ms", "10m" or "1h30m"');
    case 'percent':
      return readUnit(percentOf(value), value, path, 'a share from "0%" to "100%", such as "20%"');
  }
}

function listOf(value: unknown, path: Path): readonly unknown[] {
  if (!Array.isArray(value)) throw new Fault(path, `it must be a list, not ${shown(value)}`);
  return value;
}

function readText(value: unknown, path: Path, oneOf: readonly string[] | undefined): string {
  if (typeof value !== 'string') {
    const next = typeof value === 'number' || typeof value === 'boolean' ? 'put it in quotes' : undefined;
    throw new Fault(path, `it must be text, not ${shown(value)}`, { next });
  }
  if (/\0|\p{Surrogate}/u.test(value)) throw new Fault(path, 'it has characters that are not allowed in text');
  if (oneOf && !oneOf.includes(value)) {
    const meant = nearest(value, oneOf);
    throw new Fault(path, `it must be ${oneOf.join(' or ')}, not ${shown(value)}`, {
      next: meant === undefined ? undefined : `did you mean ${meant}?`,
    });
  }
  return value;
}

function readMap(value: unknown, path: Path): Readonly<Record<string, string>> {
  if (!isObject(value)) throw new Fault(path, `it must be an object of names and texts, not ${shown(value)}`);
  const entries = Object.entries(value).map(([name, each]) => {
    if (name === '') throw new Fault(path, 'it has an empty name');
    // The value is not shown: it may be a secret.
    if (typeof each !== 'string') throw new Fault([...path, name], 'it must be text', { next: 'put it in quotes' });
    return [readText(name, path, undefined), readText(each, [...path, name], undefined)] as const;
  });
  return Object.fromEntries(entries);
}

/** An empty text is as good as nothing: Pachyderm prints it so. */
function readJson(value: unknown, path: Path, holds: 'list' | 'object'): unknown {
  if (value === '') return undefined;
  const read = typeof value === 'string' ? parsedJson(readText(value, path, undefined), path) : value;
  if (holds === 'list') return listOf(read, path);
  if (!isObject(read)) throw new Fault(path, `it must be an object with fields, not ${shown(read)}`);
  return read;
}

function parsedJson(text: string, path: Path): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault(path, 'its text is not JSON');
  }
}

/** Pachyderm prints numbers of 64 bits in quotes, so they may be in quotes. */
function readWhole(value: unknown, path: Path, { min, max }: { readonly min: number; readonly max: number }): number {
  const number = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
    throw new Fault(path, `it must be a whole number, not ${shown(value)}`);
  }
  if (number < min || number > max) {
    throw new Fault(path, `it must be ${min} or more${number > max ? `, and ${max} or less` : ''}, not ${number}`);
  }
  return number;
}

function readUnit(read: number | undefined, value: unknown, path: Path, what: string): number {
  if (read === undefined) throw new Fault(path, `it must be ${what}, not ${shown(value)}`);
  return read;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isObject(value)) return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}

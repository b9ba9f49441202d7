/**
 * What a field of a spec is: the values it takes, and what becomes of it. The reader, the JSON
 * Schema and SPEC.md are made of tables of these.
 */

/** The values of a field. Names are written here in camelCase; snake_case is understood too. */
export type Shape =
  | { readonly kind: 'text'; readonly oneOf?: readonly string[] }
  | { readonly kind: 'flag' }
  | { readonly kind: 'whole'; readonly min: number; readonly max: number }
  /** Bytes as a number or `64M`, `1Gi`, `10GB`. */
  | { readonly kind: 'bytes' }
  /** Processor cores: 1.5 or `500m`. */
  | { readonly kind: 'cores' }
  /** A time such as `1h30m`; milliseconds when read. */
  | { readonly kind: 'duration' }
  /** A share such as `20%`; 20 when read. */
  | { readonly kind: 'percent' }
  /** Any JSON of that kind, as it is or within a text. */
  | { readonly kind: 'json'; readonly holds: 'list' | 'object' }
  /** Names and their texts. */
  | { readonly kind: 'map' }
  | { readonly kind: 'list'; readonly of: Shape }
  | { readonly kind: 'fields'; readonly fields: Fields }
  /** A list of inputs: they nest. */
  | { readonly kind: 'inputs' };

export type Field =
  /** It does here what it does in Pachyderm. `needed`: what is said where it is missing. */
  | { readonly use: 'mapped'; readonly shape: Shape; readonly meaning: string; readonly needed?: string }
  /** It matters on Kubernetes only: checked, and read from the document there. */
  | { readonly use: 'kept'; readonly shape: Shape; readonly meaning: string }
  /** `why` is a clause. A value that asks for nothing (false, null, empty) or is in `unless` is let through. */
  | { readonly use: 'refused'; readonly why: string; readonly unless: readonly string[] };

export type Fields = Readonly<Record<string, Field>>;

export const text = { kind: 'text' } as const;
export const flag = { kind: 'flag' } as const;
export const bytes = { kind: 'bytes' } as const;
export const cores = { kind: 'cores' } as const;
export const duration = { kind: 'duration' } as const;
export const percent = { kind: 'percent' } as const;
export const map = { kind: 'map' } as const;
export const inputs = { kind: 'inputs' } as const;
export const texts = { kind: 'list', of: text } as const;

export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER) {
  return { kind: 'whole', min, max } as const;
}

export function oneOf<const T extends readonly string[]>(...values: T) {
  return { kind: 'text', oneOf: values } as const;
}

export function json<const K extends 'list' | 'object'>(holds: K) {
  return { kind: 'json', holds } as const;
}

export function listOf<const S extends Shape>(of: S) {
  return { kind: 'list', of } as const;
}

export function group<const F extends Fields>(fields: F) {
  return { kind: 'fields', fields } as const;
}

export function mapped<const S extends Shape>(shape: S, meaning: string) {
  return { use: 'mapped', shape, meaning } as const;
}

/** A field that must be there; `missing` is said where it is not. */
export function needed<const S extends Shape>(shape: S, meaning: string, missing: string) {
  return { use: 'mapped', shape, meaning, needed: missing } as const;
}

export function kept<const S extends Shape>(shape: S, meaning: string) {
  return { use: 'kept', shape, meaning } as const;
}

export function refused(why: string, unless: readonly string[] = []) {
  return { use: 'refused', why, unless } as const;
}

/** Pachyderm's other spelling of a name: `datum_tries` of `datumTries`. */
export function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

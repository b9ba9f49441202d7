/**
 * The types of what the reader makes of a table's fields: all but those that are refused, under their
 * names in camelCase.
 */
import type { inputFields } from './input-fields.ts';
import type { Fields, Shape } from './shape.ts';

type Read<F extends Fields> = { [K in keyof F]: F[K] extends { use: 'mapped' | 'kept' } ? K : never }[keyof F];
type Needed<F extends Fields> = { [K in keyof F]: F[K] extends { needed: string } ? K : never }[keyof F];
type ShapeOf<T> = T extends { readonly shape: infer S } ? S : never;

export type ValueOf<S> = S extends { kind: 'text' }
  ? S extends { oneOf: readonly (infer T)[] }
    ? T
    : string
  : S extends { kind: 'flag' }
    ? boolean
    : S extends { kind: 'whole' | 'bytes' | 'cores' | 'duration' | 'percent' }
      ? number
      : S extends { kind: 'map' }
        ? Readonly<Record<string, string>>
        : S extends { kind: 'list'; of: infer T extends Shape }
          ? readonly ValueOf<T>[]
          : S extends { kind: 'fields'; fields: infer F extends Fields }
            ? ValuesOf<F>
            : S extends { kind: 'inputs' }
              ? readonly InputValues[]
              : S extends { kind: 'json'; holds: infer K }
                ? K extends 'list'
                  ? readonly unknown[]
                  : Readonly<Record<string, unknown>>
                : never;

export type ValuesOf<F extends Fields> = {
  readonly [K in Needed<F>]: ValueOf<ShapeOf<F[K]>>;
} & {
  readonly [K in Exclude<Read<F>, Needed<F>>]?: ValueOf<ShapeOf<F[K]>> | undefined;
};

export type InputValues = ValuesOf<typeof inputFields>;

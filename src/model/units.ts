/**
 * Numbers with units as Kubernetes, Go and people write them.
 */

const sizePattern = /^(\d{1,18}(?:\.\d{0,9})?)(?:[eE](\d{1,2})|(?:([kKMGTPE])(i?))?B?)$/;
const powers: Readonly<Record<string, number>> = { k: 1, K: 1, M: 2, G: 3, T: 4, P: 5, E: 6 };

/** Bytes of `256MB`, `1Gi`, `64M`, `1e9` or a number; undefined when it is none. */
export function bytesOf(value: unknown): number | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const [, digits, exponent = '0', unit, binary] = sizePattern.exec(String(value)) ?? [];
  if (digits === undefined) return undefined;
  const power = unit === undefined ? 0 : (powers[unit] ?? 0);
  const size = Math.ceil(Number(digits) * 10 ** Number(exponent) * (binary === 'i' ? 1024 : 1000) ** power);
  return Number.isSafeInteger(size) ? size : undefined;
}

/** Processor cores of `500m`, `"2"` or 1.5; undefined when it is none. */
export function coresOf(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined;
  const [, digits, milli] = /^(\d{1,9}(?:\.\d{1,9})?)(m?)$/.exec(typeof value === 'string' ? value : '') ?? [];
  return digits === undefined ? undefined : Number(digits) / (milli === 'm' ? 1000 : 1);
}

/** 20 of `20%`; undefined when it is no share of a whole. */
export function percentOf(value: unknown): number | undefined {
  const [, digits] = /^(\d{1,3}(?:\.\d{1,9})?)%$/.exec(typeof value === 'string' ? value : '') ?? [];
  const share = Number(digits ?? 101);
  return share <= 100 ? share : undefined;
}

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const durationPart = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;

/** Milliseconds, at least 1, of a time in Go's form: `90s`, `1h30m`, `1.5h`; undefined when it is none. */
export function durationMsOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || value.length > 100) return undefined;
  if (value.replaceAll(durationPart, '') !== '') return undefined;
  let total = 0;
  for (const [, digits, unit = ''] of value.matchAll(durationPart)) total += Number(digits) * (unitMs[unit] ?? 0);
  return total > 0 && total <= Number.MAX_SAFE_INTEGER ? Math.max(1, Math.round(total)) : undefined;
}

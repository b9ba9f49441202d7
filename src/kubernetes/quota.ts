/**
 * Amounts as Kubernetes writes them.
 */

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** `500m`, `2Gi`, `1e3`; not a number for what is none. */
export function amount(text: string): number {
  const [, number = '', suffix = ''] = /^([-+]?[\d.]+(?:[eE][-+]?\d+)?)(\D{0,2})$/.exec(text.trim()) ?? [];
  return number === '' ? NaN : Number(number) * (factors[suffix] ?? NaN);
}

/** True when one of the amounts asked for is more than all there is: lists such as `cpu=1,requests.memory=2Gi`. */
export function exceeds(asked: string, limited: string): boolean {
  const limits = amountsOf(limited);
  return [...amountsOf(asked)].some(([name, value]) => value > (limits.get(name) ?? Infinity));
}

function amountsOf(list: string): Map<string, number> {
  return new Map(
    list.split(',').map((pair) => {
      const [name = '', value = ''] = pair.split('=');
      return [name.trim(), amount(value)];
    }),
  );
}

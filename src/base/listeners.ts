/**
 * Whoever wants to hear of something that happens again and again. Several may listen, and each
 * leaves by itself.
 */
export class Listeners<Arguments extends readonly unknown[] = []> {
  private readonly listeners = new Set<{ readonly call: (...given: Arguments) => void }>();

  /** `call` must not throw. The function returned ends the listening; only its first call counts. */
  add(call: (...given: Arguments) => void): () => void {
    // An object of its own, as two may listen with one function.
    const listener = { call };
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  tell(...given: Arguments): void {
    // A copy, as a listener may add others, or end the listening of others, while it is told.
    const told = [...this.listeners];
    for (const listener of told) if (this.listeners.has(listener)) listener.call(...given);
  }
}

// Counts requests to a store by verb and kind of object, for processes that make very many.

/** `seesAll` and `note`, as an observer of a store has them. */
export class StoreCounts {
  seesAll = true;
  /** @type {Record<string, number>} */
  requests = {};
  /** Writes of the head that another writer was before. */
  conflicts = 0;

  /** @template T @param {string} verb @param {string} key @param {() => Promise<T>} request */
  async note(verb, key, request) {
    const kind = this.add(verb, key);
    const result = await request();
    if (verb === 'writeIfUnchanged' && kind === 'head' && result === undefined) {
      this.conflicts += 1;
    }
    return result;
  }

  /** @param {string} prefix */
  noteList(prefix) {
    this.add('list', prefix);
    return { amount: 0 };
  }

  /** @param {string} verb @param {string} key */
  add(verb, key) {
    const [, , kind = '', , name = ''] = key.split('/');
    const shown = kind === 'work' ? `work ${name.split('-')[0]}` : kind;
    const what = `${verb} ${shown}`;
    this.requests[what] = (this.requests[what] ?? 0) + 1;
    return kind;
  }
}

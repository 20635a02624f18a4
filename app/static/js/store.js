/** What the page knows, in one place; parts of the page listen for what concerns them. */

export class Store {
  #listeners = [];

  constructor(values) {
    this.values = values;
  }

  /** Put values in, then tell all who listen for any of them. */
  set(changes) {
    Object.assign(this.values, changes);
    const names = Object.keys(changes);
    for (const { wanted, listener } of this.#listeners) {
      if (wanted.some((name) => names.includes(name))) listener(this.values);
    }
  }

  /** Call `listener(values)` whenever one of these values is set. */
  on(wanted, listener) {
    this.#listeners.push({ wanted, listener });
  }
}

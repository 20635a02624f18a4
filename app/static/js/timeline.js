/** What a person has given, one after the other, so that each step can be taken back and made again. */

const MOST = 100; // steps

export class Timeline {
  #past = [];
  #future = [];
  #now;

  /** `start` is the state that is there before anything was given. */
  constructor(start) {
    this.#now = start;
  }

  /** The state that is there now. */
  get now() {
    return this.#now;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** Go to a new state. What was taken back before it is gone. */
  add(state) {
    this.#past.push(this.#now);
    if (this.#past.length > MOST) this.#past.shift();
    this.#now = state;
    this.#future = [];
  }

  /** Put another state in the place of the one that is there. */
  replace(state) {
    this.#now = state;
  }

  /** The state before, or null where there is none. */
  undo() {
    if (!this.canUndo) return null;
    this.#future.push(this.#now);
    return (this.#now = this.#past.pop());
  }

  /** The state that was taken back last, or null where there is none. */
  redo() {
    if (!this.canRedo) return null;
    this.#past.push(this.#now);
    return (this.#now = this.#future.pop());
  }

  /** Begin again, from a state. */
  restart(state) {
    this.#past = [];
    this.#future = [];
    this.#now = state;
  }
}

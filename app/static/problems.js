/** Counts display errors, and writes the first ones to the browser's console. */

const MOST_LOGGED = 20; // an event that breaks something may come a thousand times a second

export class Problems {
  constructor(onChange = () => {}) {
    this.count = 0;
    this._onChange = onChange;
  }

  /** The result of `action`; if it throws, count the error and return `otherwise(error)`. */
  guard(what, action, otherwise = () => undefined) {
    try {
      return action();
    } catch (error) {
      this.report(what, error);
      return otherwise(error);
    }
  }

  report(what, error) {
    this.count += 1;
    if (this.count <= MOST_LOGGED) console.error(`${what} failed`, error);
    this._onChange(this.count);
  }
}

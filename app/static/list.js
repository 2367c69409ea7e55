/**
 * A scrolling list that keeps only the visible rows in the page.
 *
 * Closed rows have one height, given by the style sheet as `--row-height`; open rows are measured.
 * `lead` is a note at the oldest end, such as the number of events folded away; `tail` one at the newest, if there is any.
 */

const SPARE_PX = 240; // drawn beyond the edges, for fast scrolling
const SPARE_FOLLOWED_PX = 60; // the same of a list that follows: its rows change with every event

export class VirtualList {
  /** `make(row)` returns an element; `refresh(element, row)` brings it up to date. */
  constructor(scroller, canvas, { lead, tail }, { make, refresh }) {
    Object.assign(this, { scroller, canvas, lead, tail, make, refresh });
    this.total = this.at = this.height = 0; // pixels: of all rows, above the window, of the window
    this.rows = [];
    this.newestFirst = false;
    this.open = new Set(); // keys
    this._elements = new Map(); // by key: {element, version}
    this._heights = new Map(); // of open rows, by key
    this._observer = new ResizeObserver((entries) => this._measure(entries));
    this.measureRows();
  }

  /** Read the height of a closed row again, e.g. after the window was resized. */
  measureRows() {
    this.rowHeight = parseFloat(getComputedStyle(this.canvas).getPropertyValue("--row-height"));
  }

  /** Discard the drawn rows, because the filter or search has changed. */
  reset() {
    for (const { element } of this._elements.values()) this._drop(element);
    this._elements.clear();
  }

  /** Forget all rows, drawn and open ones. */
  clear() {
    this.rows = [];
    this.open.clear();
    this._heights.clear();
    this.reset();
  }

  /** Show `rows`, oldest first; `follow` keeps the newest one visible, `hold` a row: `{row, offset}`. */
  draw(rows = this.rows, follow = false, hold = null) {
    this.rows = rows;
    // Read before anything is written: a read after that makes the browser lay out the page at once.
    const { scrollTop, clientHeight } = this.scroller;
    const { top, total } = this._layout();
    const end = Math.max(0, total - clientHeight);
    const at = follow ? (this.newestFirst ? 0 : end) : hold ? top(this.placeOf(hold.row)) - hold.offset : scrollTop;
    Object.assign(this, { total, at: Math.max(0, Math.min(at, end)), height: clientHeight });
    this.canvas.style.height = `${total}px`;
    if (this.at !== scrollTop) this.scroller.scrollTop = this.at;
    const spare = follow ? SPARE_FOLLOWED_PX : SPARE_PX;
    const from = this.at - spare;
    const to = this.at + clientHeight + spare;
    const wanted = new Map();
    for (let place = this._placeAt(from, top); place < rows.length; place += 1) {
      const y = top(place);
      if (y > to) break;
      wanted.set(this.rowAt(place).key, { place, y });
    }
    for (const [key, { element }] of this._elements) {
      if (wanted.has(key)) continue;
      this._drop(element);
      this._elements.delete(key);
    }
    let before = null;
    for (const { place, y } of wanted.values()) before = this._put(place, y, before);
  }

  /** The row at an index, counted from the top of the page. */
  rowAt(place) {
    return this.rows[this.newestFirst ? this.rows.length - 1 - place : place];
  }

  placeOf(row) {
    const index = this.rows.indexOf(row);
    return this.newestFirst && index !== -1 ? this.rows.length - 1 - index : index;
  }

  /** The index of the topmost visible row. */
  firstInSight() {
    return Math.min(this._placeAt(this.scroller.scrollTop, this._layout().top), this.rows.length - 1);
  }

  /** How far below the upper edge of the list's window a row begins, in pixels. */
  offsetOf(place) {
    return this._layout().top(place) - this.scroller.scrollTop;
  }

  /** Call `action` with the element and row of each drawn row. */
  eachDrawn(action) {
    for (const { element, row } of this._elements.values()) action(element, row);
  }

  /** Refresh a row's element at the next `draw`, though its row did not change. */
  touch(row) {
    const known = this._elements.get(row.key);
    if (known) known.version = -1;
  }

  /** Refresh all drawn rows at the next `draw`. */
  touchAll() {
    for (const known of this._elements.values()) known.version = -1;
  }

  elementOf(row) {
    return this._elements.get(row.key)?.element;
  }

  /** Scroll as little as needed to show the whole row at index `place`. */
  reveal(place) {
    const { top, total } = this._layout();
    const { scroller } = this;
    const start = place === 0 ? 0 : top(place);
    const end = place === this.rows.length - 1 ? total : top(place + 1);
    if (start < scroller.scrollTop) scroller.scrollTop = start;
    else if (end > scroller.scrollTop + scroller.clientHeight) {
      scroller.scrollTop = Math.min(start, end - scroller.clientHeight);
    }
    this.draw();
  }

  /** Whether the newest row is visible. */
  atNewest() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const away = this.newestFirst ? scrollTop : scrollHeight - clientHeight - scrollTop;
    return away < this.rowHeight;
  }

  _layout() {
    const [lead, tail] = [this.lead, this.tail].map((note) => (!note || note.hidden ? 0 : this.rowHeight));
    const [above, below] = this.newestFirst ? [tail, lead] : [lead, tail];
    const extra = []; // of open rows: [place, pixels more than a closed one]
    for (const key of this.open) {
      const row = this.rows.find((candidate) => candidate.key === key);
      if (row) extra.push([this.placeOf(row), (this._heights.get(key) ?? this.rowHeight) - this.rowHeight]);
      else this._forget(key);
    }
    const top = (place) =>
      extra.reduce((y, [at, px]) => (at < place ? y + px : y), above + place * this.rowHeight);
    const end = top(this.rows.length);
    this.lead.style.transform = `translateY(${this.newestFirst ? end : 0}px)`;
    if (this.tail) this.tail.style.transform = `translateY(${this.newestFirst ? 0 : end}px)`;
    return { top, total: end + below };
  }

  _placeAt(y, top) {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (top(middle + 1) <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  _put(place, y, before) {
    const row = this.rowAt(place);
    let known = this._elements.get(row.key);
    if (!known) {
      known = { element: this.make(row), version: -1 };
      this._elements.set(row.key, known);
    }
    known.row = row;
    const { element } = known;
    const version = this.open.has(row.key) ? `${row.version} open` : row.version;
    if (known.version !== version) {
      known.version = version;
      this.refresh(element, row);
      if (this.open.has(row.key)) this._observer.observe(element);
      else this._observer.unobserve(element);
    }
    element.style.transform = `translateY(${y}px)`;
    element.setAttribute("aria-posinset", place + 1);
    element.setAttribute("aria-setsize", this.rows.length);
    const next = before ? before.nextSibling : this.canvas.firstChild;
    if (next !== element) this.canvas.insertBefore(element, next);
    return element;
  }

  /** Close open rows that were removed or filtered out. */
  _forget(key) {
    this.open.delete(key);
    this._heights.delete(key);
  }

  _drop(element) {
    this._observer.unobserve(element);
    element.remove();
  }

  _measure(entries) {
    let changed = false;
    for (const { target } of entries) {
      const height = target.offsetHeight;
      if (!target.isConnected || this._heights.get(target.dataset.key) === height) continue;
      this._heights.set(target.dataset.key, height);
      changed = true;
    }
    if (changed) this.draw();
  }
}

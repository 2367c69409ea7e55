/** As much of a page as the console's modules need: elements that take text and elements, nothing else. */

class Element extends EventTarget {
  constructor(tag) {
    super();
    Object.assign(this, { tag, childNodes: [], dataset: {}, style: {}, attributes: new Map(), parent: null, hidden: false });
    this.classList = { toggle: (name, on) => this.setAttribute(`class ${name}`, on) };
    Object.assign(this, { scrollTop: 0, clientHeight: 600, scrollHeight: 600, offsetHeight: 30, isConnected: true, value: "" });
  }
  get children() {
    return this.childNodes.filter((node) => node instanceof Element);
  }
  get options() {
    return this.children;
  }
  get firstChild() {
    return this.childNodes[0] ?? null;
  }
  get firstElementChild() {
    return this.children[0] ?? null;
  }
  get lastElementChild() {
    return this.children.at(-1) ?? null;
  }
  get nextSibling() {
    return this.parent?.childNodes[this.parent.childNodes.indexOf(this) + 1] ?? null;
  }
  get nextElementSibling() {
    return this.parent?.children[this.parent.children.indexOf(this) + 1] ?? null;
  }
  get textContent() {
    return this.childNodes.map((node) => node.textContent ?? node).join("");
  }
  set textContent(text) {
    this.replaceChildren(text);
  }
  setAttribute(name, value) {
    this.attributes.set(name, `${value}`); // throws where a browser does
    if (name.startsWith("data-")) this.dataset[name.slice(5)] = `${value}`;
  }
  append(...nodes) {
    for (const node of nodes) this.insertBefore(node, null);
  }
  add(node, before) {
    this.insertBefore(node, before);
  }
  insertBefore(node, before) {
    const made = node instanceof Element ? node : `${node}`;
    if (made instanceof Element) {
      made.remove();
      made.parent = this;
    }
    const at = before ? this.childNodes.indexOf(before) : -1;
    this.childNodes.splice(at === -1 ? this.childNodes.length : at, 0, made);
  }
  replaceChildren(...nodes) {
    for (const node of [...this.children]) node.remove();
    this.childNodes = [];
    this.append(...nodes);
  }
  remove() {
    if (!this.parent) return;
    this.parent.childNodes.splice(this.parent.childNodes.indexOf(this), 1);
    this.parent = null;
  }
  closest() {
    return this;
  }
  focus() {}
  blur() {}
  /** This element and all below it. */
  *all() {
    yield this;
    for (const child of this.children) yield* child.all();
  }
}

/** Put it in place of the page's globals. */
export function install() {
  const document = Object.assign(new EventTarget(), {
    createElement: (tag) => new Element(tag),
    createElementNS: (_, tag) => new Element(tag),
    activeElement: null,
    title: "",
  });
  Object.assign(globalThis, {
    document,
    location: { hash: "", pathname: "/", search: "", origin: "http://127.0.0.1:3000" },
    history: { replaceState() {} },
    addEventListener() {},
    getComputedStyle: () => ({ getPropertyValue: () => "30px" }),
    getSelection: () => "",
    requestAnimationFrame: (action) => queueMicrotask(action),
    ResizeObserver: class {
      observe() {}
      unobserve() {}
    },
  });
  return (tag = "div") => new Element(tag);
}

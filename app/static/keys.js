/** Keyboard shortcuts; inactive while the user types into a field. */

/** Call the action named by each key: `{j, k, Enter, …}`; Escape also counts inside fields. */
export function listenToKeys(actions) {
  const keys = {
    j: () => actions.move(1),
    ArrowDown: () => actions.move(1),
    k: () => actions.move(-1),
    ArrowUp: () => actions.move(-1),
    PageDown: () => actions.page(1),
    PageUp: () => actions.page(-1),
    g: () => actions.move(-Infinity),
    Home: () => actions.move(-Infinity),
    G: () => actions.move(Infinity),
    End: () => actions.move(Infinity),
    Enter: () => actions.toggle(),
    p: () => actions.pause(),
    a: () => actions.agents(),
    e: () => actions.error(1),
    E: () => actions.error(-1),
    f: () => actions.fold(),
    ArrowLeft: () => actions.fold(true),
    ArrowRight: () => actions.fold(false),
    "/": () => actions.search(),
    x: () => actions.clear(),
    "?": () => actions.help(),
  };
  document.addEventListener("keydown", (pressed) => {
    const { key, target } = pressed;
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || document.querySelector("dialog[open]")) return;
    if (key === "Escape") {
      actions.escape(target);
      return;
    }
    if (!Object.hasOwn(keys, key) || target.closest("input:not([type=range]), select, textarea")) return;
    if (target.closest("input") && !/^[a-z/?]$/i.test(key)) return; // a slider has the arrows
    if (key === "Enter" && target.closest("button, summary, a")) return;
    pressed.preventDefault();
    keys[key]();
  });
}

/** Names of sessions for people, and what tells sessions with the same name apart. Pure. */

import { text } from "../fields.js";

const SHORT_ID = 4;
const LONGEST = 60;
const MOST_NAMES = 1000;

/** The last part of a folder's path: `/home/ada/shop` is `shop`. */
export function projectOf(folder) {
  return folder?.match(/([^/\\]+)[/\\]*$/)?.[1] ?? "";
}

/** A path as people in the folder would say it: relative to it where it is inside. */
export function relative(path, folder) {
  if (!folder) return path;
  const base = folder.replace(/[/\\]+$/, "");
  if (path === base) return ".";
  return path.startsWith(`${base}/`) || path.startsWith(`${base}\\`) ? path.slice(base.length + 1) : path;
}

/** A line such as a command, with the folder's path left out of its words. */
export function shortened(line, folder) {
  if (!folder || folder.length < 2) return line;
  const base = folder.replace(/[/\\]+$/, "");
  return line.replaceAll(`${base}/`, "").replaceAll(`${base}\\`, "");
}

/**
 * Learns the sessions behind each name. `tag(id)` is empty while the session's name is its own; otherwise it is
 * the project if that tells it apart, else the project and the start of the id.
 */
export class Names {
  constructor() {
    this.version = 0; // changes when a tag may have changed
    this._byName = new Map(); // name to a Map of session id to project
    this._names = new Map(); // session id to name
  }

  learn(id, name, folder) {
    const project = projectOf(folder);
    const before = this._names.get(id);
    if (before === name && (!project || this._byName.get(name).get(id) === project)) return;
    if (before !== undefined) this._forget(id);
    if (this._names.size >= MOST_NAMES) this._forget(this._names.keys().next().value);
    if (!this._byName.has(name)) this._byName.set(name, new Map());
    this._byName.get(name).set(id, project);
    this._names.set(id, name);
    this.version += 1;
  }

  tag(id) {
    const alike = this._byName.get(this._names.get(id));
    if (!alike || alike.size < 2) return "";
    const project = alike.get(id);
    const same = [...alike].filter(([, other]) => other === project);
    if (project && same.length === 1) return text(project, LONGEST);
    // So many characters of the id that no other session of this name and project has them.
    let length = SHORT_ID;
    while (length < id.length && same.filter(([other]) => other.startsWith(id.slice(0, length))).length > 1) length += 1;
    return text(`${project ? `${project} ` : ""}${id.slice(0, length)}`, LONGEST);
  }

  _forget(id) {
    const alike = this._byName.get(this._names.get(id));
    alike.delete(id);
    if (!alike.size) this._byName.delete(this._names.get(id));
    this._names.delete(id);
  }
}

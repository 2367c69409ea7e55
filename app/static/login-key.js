/**
 * The browser key, without which the login cookie is not valid. Browsers send a cookie to every port of a
 * host; this storage can only be read by pages of this scheme, host and port.
 */

const BASE = new URL("..", import.meta.url); // where the gateway is mounted
const STORED_AS = `sightline.browser_key${BASE.pathname.slice(0, -1)}`; // clients/js/sightline.js too
const HEADER = "X-Browser-Key";

/** The headers that a request with the cookie needs. */
export function keyHeaders() {
  const key = localStorage.getItem(STORED_AS);
  return key === null ? {} : { [HEADER]: key };
}

/** Store the key from the answer to a log-in. */
export function keepKey(answer) {
  localStorage.setItem(STORED_AS, answer.headers.get(HEADER));
}

/**
 * Log this browser out. False, and nothing has changed, if a proxy has logged it in. Rejects, and changes
 * nothing, if the gateway does not answer.
 */
export async function logOut() {
  const answer = await fetch(new URL("api/logout", BASE), { method: "POST", headers: keyHeaders() });
  if (answer.status === 400) return false;
  if (!answer.ok && answer.status !== 401) throw new Error(`POST api/logout answered ${answer.status}`);
  localStorage.removeItem(STORED_AS);
  location.replace(new URL("login", BASE));
  return true;
}

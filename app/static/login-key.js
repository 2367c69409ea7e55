/**
 * The browser key: what the login cookie needs beside it. Browsers send a cookie to every port of a
 * host; only pages of this scheme, host and port can read what stands here.
 */

const BASE = new URL("..", import.meta.url); // where the gateway is mounted
const STORED_AS = `sightline.browser_key${BASE.pathname.slice(0, -1)}`; // clients/js/sightline.js too
const HEADER = "X-Browser-Key";

/** The headers of a request that the cookie is to count for. */
export function keyHeaders() {
  const key = localStorage.getItem(STORED_AS);
  return key === null ? {} : { [HEADER]: key };
}

/** Keep the key that came with the answer to a log-in. */
export function keepKey(answer) {
  localStorage.setItem(STORED_AS, answer.headers.get(HEADER));
}

/** Log this browser out. Without an answer the page stays as it is. */
export async function logOut() {
  const answer = await fetch(new URL("api/logout", BASE), { method: "POST", headers: keyHeaders() });
  if (!answer.ok && answer.status !== 401) throw new Error(`POST api/logout answered ${answer.status}`);
  localStorage.removeItem(STORED_AS);
  location.replace(new URL("login", BASE));
}

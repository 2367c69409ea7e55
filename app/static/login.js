import { keepKey, keyHeaders } from "./login-key.js";

// The ticket stands in the fragment, which browsers never send: only this page reads it.
const state = document.getElementById("state");
const ticket = location.hash.slice(1);

async function logIn() {
  history.replaceState(null, "", "login"); // out of the address and the history
  state.textContent = "Logging in…";
  const answer = await fetch("api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
  if (answer.ok) keepKey(answer);
  else state.textContent = `Not logged in: ${(await answer.json()).message}`;
}

// Also without a ticket or with a spent one: the cookie and its key may be good. It did not count on the way
// here from another site's link, but it does for this page.
async function enterIfLoggedIn() {
  const session = await fetch("api/session", { headers: keyHeaders() });
  if (session.ok) location.replace("./");
}

async function start() {
  try {
    if (ticket) await logIn();
    await enterIfLoggedIn();
  } catch {
    state.textContent = "The gateway does not answer. Is it running? Reload to try again.";
  }
}

start();

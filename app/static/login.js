import { keepKey, keyHeaders } from "./login-key.js";

// The ticket is in the fragment, which browsers never send.
const state = document.getElementById("state");
const ticket = location.hash.slice(1);

async function logIn() {
  history.replaceState(null, "", "login"); // remove the ticket from the address and the history
  state.textContent = "Logging in…";
  const answer = await fetch("api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
  if (answer.ok) keepKey(answer);
  else state.textContent = `Not logged in: ${(await answer.json()).message}`;
}

// Called without a valid ticket too: the browser may be logged in already. It did not send the cookie when it
// followed a link of another site, but it sends it for this page.
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

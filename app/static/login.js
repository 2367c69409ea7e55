// The ticket stands in the fragment, which browsers never send: only this page reads it.
const state = document.getElementById("state");
const ticket = location.hash.slice(1);

async function logIn() {
  history.replaceState(null, "", "/login"); // out of the address and the history
  state.textContent = "Logging in…";
  const answer = await fetch("/api/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ticket }),
  });
  if (answer.ok) {
    location.replace("/");
  } else {
    state.textContent = `Not logged in: ${(await answer.json()).message}`;
  }
}

// A link on another site leads here even with a good cookie, which did not count on the way.
async function enterIfLoggedIn() {
  const session = await fetch("/api/session");
  if (session.ok) location.replace("/");
}

try {
  await (ticket ? logIn() : enterIfLoggedIn());
} catch {
  state.textContent = "The gateway does not answer. Is it running? Reload to try again.";
}

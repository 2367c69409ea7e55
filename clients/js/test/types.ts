// Compiled, never run: what the declarations promise.
import { EventStream, history, isPattern, type Gap, type State, type StreamEvent } from "sightline-client";

const stream = new EventStream({
  url: "/ws",
  types: ["git.*"],
  onEvent(event) {
    if (event.type === "git.commit_created") {
      const author: string = event.data.author;
      const files: string[] | number | undefined = event.data.files_changed;
      const further: unknown = event.data.whatever;
      // @ts-expect-error a number of files is no string
      const wrong: string = event.data.files_changed;
    }
    // @ts-expect-error not narrowed yet: only some events have an author
    event.data.author.toUpperCase();
    // @ts-expect-error no such type
    if (event.type === "git.commit_creatd") return;
    switch (event.type) {
      case "file.created":
        // @ts-expect-error optional
        const size: number = event.data.size;
        return event.metadata.agent?.length;
    }
  },
  onEvents(items) {
    for (const item of items) {
      if (item.type === "gap") item.reason === "expired";
      else if (item.type === "chat.message_sent") item.data.content.length;
    }
  },
  onGap: ({ dropped }: Gap) => dropped,
  onState(state: State) {
    if (state.name === "reconnecting") state.retryInS.toFixed(1);
    // @ts-expect-error only while reconnecting
    else state.retryInS;
  },
});

stream.addEventListener("event", ({ detail }) => {
  if (detail.type === "workflow.failed") detail.data.error.length;
});
stream.addEventListener("error", ({ detail }) => detail.code.length);
// @ts-expect-error a gap has no type of an event
stream.addEventListener("gap", ({ detail }) => detail.type === "git.commit_created");
const filter: Promise<string[]> = stream.subscribe(["git.*"]);
const commit = (event: StreamEvent<"git.commit_created">): string => event.data.commit_hash;
// @ts-expect-error it may be null
stream.position.epoch;
// @ts-expect-error read only
stream.state = { name: "live" };
if (isPattern("git.*")) stream.close();

async function past() {
  const found = history({ q: "nightly", since: new Date(), after: stream.position ?? 3, limit: 10 });
  for await (const item of found) {
    if (item.type === "gap") item.reason === "not_stored";
    else if (item.type === "git.commit_created") item.data.author.length;
  }
  // @ts-expect-error it may be null
  found.matches.toFixed();
  // @ts-expect-error no such order
  history({ order: "newest" });
}
new EventStream({ backfill: true });

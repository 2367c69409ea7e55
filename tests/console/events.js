/** Events as they come over the wire. */

let number = 0;

/** An event `at` seconds after the tests' epoch; its number is the next one. */
export function event(type, data = {}, { metadata = {}, at = 0 } = {}) {
  number += 1;
  const timestamp = new Date(Date.UTC(2026, 10, 24, 12) + at * 1000).toISOString();
  return { type, timestamp, sequence_number: number, data, metadata };
}

export const said = (content, rest) => event("chat.message_sent", { role: "user", content }, rest);
export const file = (path, at, metadata = { source: "workspace" }) =>
  event("file.modified", { path, is_directory: false }, { at, metadata });
export const commit = (at, files_changed = 2) =>
  event(
    "git.commit_created",
    { commit_hash: "9f1c2abdef", message: "Fix the parser", author: "Ada", files_changed },
    { at, metadata: { source: "git" } },
  );
export const chunk = (text, at = 0, data = { message_id: "m1", agent_name: "Ada" }) =>
  event("chat.streaming_chunk", { chunk: text, ...data }, { at });
export const gap = (fields = {}) => ({
  type: "gap",
  from_sequence_number: 3,
  to_sequence_number: 9,
  dropped: 7,
  reason: "slow_consumer",
  ...fields,
});

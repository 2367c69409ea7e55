/** Makes invisible and reordering characters visible: `\u202e`. */

// Control and formatting characters, invisible fillers, line separators, lone surrogates.
const UNSEEN =
  /[\p{Cc}\p{Zl}\p{Zp}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\p{Cs}\p{Co}\u{e0000}-\u{e0fff}]|(?<=^|[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Nd}\s\p{P}])[\u200c\u200d]/gu;
const ANY_UNSEEN = new RegExp(UNSEEN.source, "u");
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** `text` with invisible characters as escapes, except line breaks and tabs. */
export function visible(text) {
  if (!ANY_UNSEEN.test(text)) return text;
  return text.replace(UNSEEN, (found) => (/[\n\t]/.test(found) ? found : escaped(found)));
}

function escaped(found) {
  const unit = (i) => `\\u${found.charCodeAt(i).toString(16).padStart(4, "0")}`;
  return Array.from({ length: found.length }, (_, i) => unit(i)).join("");
}

/** A value for use in a sentence: right-to-left text in it does not reorder the words around it. */
export function isolated(text) {
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}

/** The text without the isolates that `isolated` added; `visible` escapes all others. */
export function unisolated(text) {
  return text.replace(/[\u2068\u2069]/g, "");
}

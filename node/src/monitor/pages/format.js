// Numbers and times as people read them.

const NUMBER = new Intl.NumberFormat("en");
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const EXACT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const count = (n) => (n === null || n === undefined ? "–" : NUMBER.format(n));

/** Per second: `0`, `0.4`, `31.2`, `1,204`. */
export function rate(n) {
  if (!(n > 0)) return "0";
  if (n < 0.05) return "< 0.1";
  return n < 100 ? n.toFixed(1) : NUMBER.format(Math.round(n));
}

/** `1,204` below ten thousand, then `12.0k`, `3.4M`. */
export function short(n) {
  if (n >= 1e9) return `${(n / 1e9).toFixed(1)}G`;
  if (n >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
  if (n >= 1e4) return `${(n / 1e3).toFixed(1)}k`;
  return n < 100 && n % 1 ? n.toFixed(1) : NUMBER.format(Math.round(n));
}

/** `800 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`. */
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  const s = Math.floor(ms / 1000);
  if (s < 1) return `${Math.round(ms)} ms`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A day, or a moment, in universal time: the same for all who look at the same tweets. */
export const day = (ms) => new Date(ms).toISOString().slice(0, 10);
export const minute = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");

export const time = (ms) => EXACT.format(new Date(ms));

/** A time among others that lie as far as `span` ms apart. */
export function moment(ms, span) {
  const clock = span < 2 * 3600e3 ? EXACT : span < 20 * 3600e3 ? CLOCK : DAY;
  return clock.format(new Date(ms));
}

/** When something ends that takes so many seconds from now. */
export function ending(seconds) {
  const at = new Date(Date.now() + seconds * 1000);
  const days = Math.floor(seconds / 86400);
  return days < 1 ? `at about ${CLOCK.format(at)}` : `on ${at.toLocaleDateString()}`;
}

export const percent = (part, whole) => (whole > 0 ? `${Math.floor((100 * part) / whole)} %` : "–");

/** The host of an API endpoint is the same everywhere; its path tells them apart. */
export const endpoint = (name) => name.replace(/^https?:\/\/[^/]+\//, "");

/**
 * Room for request bodies. They are kept until the upstream begins to answer, and an isolate has
 * 128 MB for everything: two of the longest fit, and one of them twice while it is read.
 */
export const ROOM_BYTES = 48 * 1024 * 1024;
/** What one customer may have of it: two of the longest, and one of another's always fits beside. */
export const SHARE_BYTES = 32 * 1024 * 1024;
const WAITERS_MAX = 256; // each is a few hundred bytes and an unread connection
export const SHARE_WAITERS = 64; // of them one customer's
const WAIT_MS = 10_000; // SDKs wait longer; the bodies before it have gone by then, or hang

let taken = 0;
const takenBy = new Map(); // by customer; no entry where it has nothing
const line = [];

const hasShare = ({ bytes, whose }) => (takenBy.get(whose) ?? 0) + bytes <= SHARE_BYTES;

function take({ bytes, whose }) {
  taken += bytes;
  takenBy.set(whose, (takenBy.get(whose) ?? 0) + bytes);
}

/** Takes room for `bytes`, waiting in line for it: true, or false where none came free in time. */
export async function takeRoom(bytes, whose) {
  const waiter = { bytes, whose };
  // Who waits for nothing but its own share keeps nobody else waiting.
  const isFree = !line.some(hasShare) && !line.some((other) => other.whose === whose);
  if (isFree && hasShare(waiter) && taken + bytes <= ROOM_BYTES) {
    take(waiter);
    return true;
  }
  const own = line.filter((other) => other.whose === whose).length;
  if (line.length >= WAITERS_MAX || own >= SHARE_WAITERS) return false;
  let timer;
  const served = new Promise((resolve) => {
    waiter.serve = () => { clearTimeout(timer); resolve(true); };
    timer = setTimeout(() => {
      line.splice(line.indexOf(waiter), 1);
      resolve(false);
      serve(); // a smaller one behind it may fit
    }, WAIT_MS);
  });
  line.push(waiter);
  return served;
}

/** Gives `bytes` of room back. */
export function giveRoom(bytes, whose) {
  taken -= bytes;
  const left = (takenBy.get(whose) ?? 0) - bytes;
  if (left > 0) takenBy.set(whose, left);
  else takenBy.delete(whose);
  serve();
}

/** All of it is free: the engine was started afresh, and with the old one went its requests. */
export function clearRoom() {
  // Who waits in line is gone with it, and would never give its room back.
  line.length = 0;
  taken = 0;
  takenBy.clear();
}

/** Serves who is next, passing over those whose own share is full. */
function serve() {
  for (let at = 0; at < line.length;) {
    const waiter = line[at];
    if (!hasShare(waiter)) {
      at += 1;
    } else if (taken + waiter.bytes > ROOM_BYTES) {
      return;
    } else {
      line.splice(at, 1);
      take(waiter);
      waiter.serve();
    }
  }
}

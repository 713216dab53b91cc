// The live figures as a hook: what is known, since when, and how good the connection is.

import { useEffect, useRef, useState } from "./vendor/preact.js";
import { openLive } from "./live.js";
import { applyFrame } from "./snapshot.js";
import { instant } from "./time.js";

/**
 * `snapshot` (null at first) · `heardAt` and `skew`, in the viewer's milliseconds: the server's
 * clock is the viewer's plus `skew` · `connection` as `live.js` tells it · `retryNow()`.
 */
export function useFeed(token) {
  const [state, setState] = useState({ snapshot: null, heardAt: 0, skew: 0 });
  const [connection, setConnection] = useState({ phase: "connecting" });
  const live = useRef(null);

  useEffect(() => {
    live.current = openLive({
      token,
      onFrame: (frame) => setState((before) => withFrame(before, frame)),
      onPhase: setConnection,
    });
    return () => live.current.close();
  }, [token]);

  return { ...state, connection, retryNow: () => live.current?.retryNow() };
}

function withFrame(before, frame) {
  const snapshot = applyFrame(before.snapshot, frame);
  if (snapshot === before.snapshot) return before;
  const heardAt = Date.now();
  const serverNow = instant(snapshot.now);
  return { snapshot, heardAt, skew: serverNow === null ? 0 : serverNow - heardAt };
}

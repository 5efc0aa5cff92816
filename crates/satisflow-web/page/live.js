// Follows changes by server-sent events, and asks anew no more often than the service can answer.

const LEAST_MS = 1000;
const AGAIN_MS = 10000;
const SETTLE_MS = 2500;

/** Calls `work` when told, never twice at once, and rests three times as long as it took: but for what the reader
 * has chosen. */
export function paced(work) {
  let running = false;
  let due;
  let wake = () => {};
  const poke = async (what) => {
    due = { ...due, ...what };
    if (what.all) wake();
    if (running) return;
    running = true;
    while (due) {
      const now = due;
      due = undefined;
      const began = performance.now();
      await work(now);
      await new Promise((done) => {
        wake = done;
        setTimeout(done, Math.max(LEAST_MS, 3 * (performance.now() - began)));
      });
    }
    running = false;
  };
  return poke;
}

/** Tells `changed` what is new, and `connected` whether it would be told. A hidden page takes no connection. */
export function follow(changed, connected) {
  let source;
  let counts = {};
  let settling;
  const close = () => {
    source?.close();
    source = undefined;
  };
  const take = (event) => {
    const told = JSON.parse(event.data);
    const what = Object.fromEntries(Object.entries(told).map(([name, count]) => [name, count !== counts[name]]));
    counts = told;
    changed(what);
    // Open windows take rows a moment after they are visible.
    clearTimeout(settling);
    settling = setTimeout(() => changed({ records: true }), SETTLE_MS);
  };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource('/api/changes');
    source.addEventListener('open', () => connected(true));
    source.addEventListener('changes', take);
    source.addEventListener('error', () => {
      connected(false);
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      // It was refused: where a login is missing, any question says so.
      changed({ alerts: true });
      setTimeout(open, AGAIN_MS);
    });
  };
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  open();
}

// What is shown, as the URL says: a view can be shared, and goes back and forth.

const ONE = ['kpi', 'window', 'by', 'points', 'limits', 'q'];

/** The state of a URL's hash, such as `#/trend?kpi=csat&window=1h&by=department&group=Sales`. */
export function parse(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const given = new URLSearchParams(query);
  const state = { view: path || 'overview', group: given.getAll('group') };
  for (const name of ONE) state[name] = given.get(name) ?? undefined;
  return state;
}

/** The hash of a state. */
export function link(state) {
  const query = new URLSearchParams();
  for (const name of ONE) if (state[name] !== undefined && state[name] !== '') query.set(name, state[name]);
  for (const value of state.group ?? []) query.append('group', value);
  const text = query.toString();
  return `#/${state.view}${text ? `?${text}` : ''}`;
}

/** The state with what is missing or unknown replaced by what the catalog has. */
export function resolve(state, catalog) {
  const kpi = catalog.kpis.find((k) => k.name === state.kpi) ?? catalog.kpis[0];
  const known = catalog.kpis.some((k) => k.windows.includes(state.window));
  const window =
    known && (kpi?.windows.includes(state.window) || state.view === 'overview') ? state.window : kpi?.windows[0];
  const sets = kpi?.grouping_sets.map((set) => set.join(',')) ?? [''];
  // A Pareto chart is of groups: it has no total.
  const offered = state.view === 'pareto' ? sets.filter((set) => set !== '') : sets;
  const by = offered.includes(state.by ?? '') ? (state.by ?? '') : (offered[0] ?? '');
  const dimensions = by === '' ? [] : by.split(',');
  const group = state.group.length === dimensions.length ? state.group : [];
  return { ...state, kpi, by, dimensions, group, window: catalog.windows.find((w) => w.name === window) };
}

/** What the page remembers of this reader, and nothing else. */
export const kept = {
  get(name) {
    try {
      return JSON.parse(localStorage.getItem(`satisflow.${name}`)) ?? undefined;
    } catch {
      return undefined;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`satisflow.${name}`, JSON.stringify(value));
    } catch {
      /* private windows keep nothing */
    }
  },
};

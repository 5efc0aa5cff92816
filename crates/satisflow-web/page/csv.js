// Reads CSV (RFC 4180) as it comes, so that the first rows of a long result are shown and the rest is not waited for.

/** A reader; `push` takes text, `rows` is what is complete. */
export function reader() {
  const state = { rows: [], row: [], field: '', quoted: false, pending: false };
  return { rows: state.rows, push: (text) => take(state, text), end: () => end(state) };
}

function endField(state) {
  state.row.push(state.field);
  state.field = '';
}

function end(state) {
  if (state.field === '' && state.row.length === 0) return;
  endField(state);
  state.rows.push(state.row);
  state.row = [];
}

function take(state, text) {
  for (const char of text) {
    if (state.pending) {
      // A quote within quotes: doubled it is one, else it was the end.
      state.pending = false;
      if (char === '"') {
        state.field += '"';
        continue;
      }
      state.quoted = false;
    }
    if (state.quoted) {
      if (char === '"') state.pending = true;
      else state.field += char;
    } else if (char === '"') state.quoted = true;
    else if (char === ',') endField(state);
    else if (char === '\n') end(state);
    else if (char !== '\r') state.field += char;
  }
}

/** The first rows of an answer, its heading among them, and whether there are more. */
export async function first(response, rowsMax) {
  const decoder = new TextDecoder();
  const body = response.body.getReader();
  const found = reader();
  for (;;) {
    const { done, value } = await body.read();
    if (done) {
      found.end();
      break;
    }
    found.push(decoder.decode(value, { stream: true }));
    if (found.rows.length > rowsMax + 1) {
      await body.cancel();
      break;
    }
  }
  const [heading = [], ...rows] = found.rows;
  return { heading, rows: rows.slice(0, rowsMax), more: rows.length > rowsMax };
}

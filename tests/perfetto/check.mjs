// Whether Perfetto shows what the run was.
//
//   node check.mjs UI_DIR TRACE VIEW.json
//
// TRACE is `rsd trace --format chrome`, perhaps packed; VIEW.json is `rsd trace --format json` of the same
// run. Exit 0: it loads with no error and nothing lost; every phase is there once, at its time to the
// nanosecond, beside no other; every arrow lands where it belongs. Exit 1: it says what is wrong.
import fs from 'node:fs';
import zlib from 'node:zlib';
import { load } from './trace_processor.mjs';

const [, , ui, traceFile, viewFile] = process.argv;
if (!viewFile) {
  console.error('usage: node check.mjs UI_DIR TRACE VIEW.json');
  process.exit(2);
}
const wrong = [];
const check = (holds, ...what) => {
  if (!holds && wrong.length < 20) wrong.push(what.map((w) => (typeof w === 'string' ? w : JSON.stringify(w, plain))).join(' '));
};
const plain = (_, value) => (typeof value === 'bigint' ? Number(value) : value);

const bytes = fs.readFileSync(traceFile);
const view = JSON.parse(fs.readFileSync(viewFile, 'utf8'));
const begin = performance.now();
const perfetto = await load(ui, bytes);
const loaded = performance.now() - begin;
const query = async (sql) => {
  try {
    return await perfetto.query(sql);
  } catch (error) {
    check(false, 'query refused:', error.message);
    return [];
  }
};
check(perfetto.rejected === null, 'rejected:', perfetto.rejected);
const lost = await query("select name, value from stats where value > 0 and severity in ('error', 'data_loss')");
check(lost.length === 0, 'errors of the import:', lost);

// What was written, so that what vanished without a word is missed.
let events = [];
try {
  const text = bytes[0] === 0x1f ? zlib.gunzipSync(bytes) : bytes;
  events = JSON.parse(text.toString('utf8'));
  check(Array.isArray(events) && events.length > 0, 'not the array form');
} catch (error) {
  check(false, 'not JSON:', error.message);
}
const count = (...phases) => events.filter((e) => phases.includes(e.ph)).length;

const slices = await query(
  'select s.id, s.ts, s.dur, s.name, s.category, p.category as parent, s.track_id from slice s left join slice p on p.id = s.parent_id',
);
check(slices.length > 0, 'nothing is shown');
check(slices.length === count('X', 'i'), `${count('X', 'i')} slices and marks were written, ${slices.length} are shown`);
check(!slices.some((s) => s.dur < 0), 'negative durations:', slices.filter((s) => s.dur < 0));

// Every phase, once, where it was.
const phases = slices.filter((s) => s.category === 'phase');
const shown = new Map(phases.map((s) => [s.name, s]));
check(phases.length === view.spans.length, `${view.spans.length} phases ran or did not, ${phases.length} are shown`);
check(!phases.some((s) => s.parent === 'phase'), 'phases inside of phases:', phases.filter((s) => s.parent === 'phase'));
const cut = Math.max(0, ...phases.map((s) => Number(s.ts + s.dur)));
let exact = 0;
for (const span of view.spans) {
  const slice = shown.get((span.error ? '✗ ' : '') + span.phase);
  check(slice, 'not shown:', span.phase);
  if (!slice || span.start_ns === null || span.end_ns === null || span.end_ns > cut) continue;
  exact += 1;
  check(Number(slice.ts) === span.start_ns, span.phase, `begins at ${slice.ts}, not ${span.start_ns}`);
  check(Number(slice.dur) === span.end_ns - span.start_ns, span.phase, `takes ${slice.dur}`);
}
const tracks = new Map();
for (const s of phases.filter((s) => s.dur > 0)) tracks.set(s.track_id, [...(tracks.get(s.track_id) ?? []), s]);
for (const list of tracks.values()) {
  list.sort((a, b) => Number(a.ts - b.ts));
  list.reduce((a, b) => (check(a.ts + a.dur <= b.ts, 'overlap:', a, b), b));
}

// Every arrow that was written, from a need to what needs it, or from a fork to a process.
const flows = await query('select slice_out, slice_in from flow');
check(flows.length === count('s') && flows.length === count('f'), `${count('s')} arrows begin, ${count('f')} end, ${flows.length} are shown`);
const byId = new Map(slices.map((s) => [s.id, s]));
const needs = new Map(view.spans.map((s) => [s.phase, s.needs]));
const name = (slice) => slice.name.replace(/^✗ /, '');
let [needed, forked] = [0, 0];
for (const flow of flows) {
  const [from, to] = [byId.get(flow.slice_out), byId.get(flow.slice_in)];
  check(from && to, 'an arrow ends nowhere:', flow);
  if (!from || !to) continue;
  if (from.category === 'fork') {
    forked += 1;
    check(['process', 'part', 'undo'].includes(to.category), 'a fork leads to', to);
    check(from.ts + from.dur <= to.ts, 'a fork goes backwards:', from, to);
  } else {
    needed += 1;
    check((needs.get(name(to)) ?? []).includes(name(from)), name(to), 'does not need', name(from));
    check(from.ts + from.dur <= to.ts, 'an arrow goes backwards:', from, to);
  }
}
const ran = new Set(phases.filter((s) => s.dur > 0).map(name));
let expected = 0;
for (const s of view.spans) if (ran.has(s.phase)) expected += s.needs.filter((n) => ran.has(n)).length;
check(needed === expected, `${expected} needs between phases that ran, ${needed} arrows`);

perfetto.close();
const summary = `${phases.length} phases (${exact} to the nanosecond), ${slices.length} slices, ${needed} needs, ${forked} forks, ${Math.round(loaded)} ms`;
if (wrong.length) console.log([`${traceFile}: wrong (${summary})`, ...wrong].join('\n  '));
else console.log(`${traceFile}: ${summary}`);
process.exitCode = wrong.length ? 1 : 0;

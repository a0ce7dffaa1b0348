// Whether speedscope's own importer takes it.
//
//   node speedscope.mjs PACKAGE_DIR TRACE.json VIEW.json
//
// The released bundle draws into a page as it starts; its importer is taken out before it gets so far.
import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';

const [, , dir, traceFile, viewFile] = process.argv;
const release = path.join(dir, 'dist/release');
const bundle = fs.readdirSync(release).find((name) => /^speedscope-.*\.js$/.test(name));
const source = fs.readFileSync(path.join(release, bundle), 'utf8');
// The lazily made module of the importers, and its names: `Promise.resolve().then(()=>(INIT(),MODULE))`.
const importers = /Promise\.resolve\(\)\.then\(\(\)=>\((\w+)\(\),(\w+)\)\);\w+\.then/.exec(source);
const strict = '"use strict";(()=>{';
if (!importers || !source.startsWith(strict)) throw new Error(`${bundle} has another shape`);
const [, init, module] = importers;
const hook = `globalThis.importProfile=(name,text)=>(${init}(),${module}.importProfileGroupFromText(name,text));`;
globalThis.window = globalThis;
let stopped = 'nothing';
try {
  vm.runInThisContext(strict + hook + source.slice(strict.length), { filename: bundle });
} catch (error) {
  stopped = error.message;
}

const view = JSON.parse(fs.readFileSync(viewFile, 'utf8'));
const complaints = [];
const say = console.log;
console.log = () => {};
console.warn = (...what) => complaints.push(what.join(' '));
const wrong = [];
let group = null;
try {
  group = await globalThis.importProfile('run.trace.json', fs.readFileSync(traceFile, 'utf8'));
} catch (error) {
  wrong.push(`refused: ${error.message} (the page stopped at: ${stopped})`);
}
if (!group?.profiles?.length) wrong.push('no profile');
// It adds floats, so of two that touch to the nanosecond it may take one for a part of the other.
const begins = new Set(view.spans.map((s) => s.start_ns));
const touching = view.spans.some((s) => s.end_ns !== null && begins.has(s.end_ns));
if (complaints.length && !touching) wrong.push(...complaints.slice(0, 3), `${complaints.length} complaints`);
const seen = new Set();
const names = group?.profiles?.map((profile) => profile.getName()) ?? [];
for (const profile of group?.profiles ?? []) profile.forEachFrame((frame) => seen.add(frame.name.replace(/ \{.*$/s, '')));
// It has no marks: only what ran for some time is there.
const ran = view.spans.filter((s) => s.start_ns !== null && s.end_ns > s.start_ns);
for (const span of ran) {
  const name = (span.error ? '✗ ' : '') + span.phase;
  if (!seen.has(name)) wrong.push(`not shown: ${name}`);
}
if (!names.some((name) => name.includes('phases'))) wrong.push(`no track of phases in ${names}`);
console.log = say;
console.log(`${traceFile}: ${wrong.length ? 'wrong: ' : ''}speedscope shows ${ran.length} phases in ${names.length} tracks`);
for (const what of wrong.slice(0, 10)) console.log(`  ${what}`);
process.exitCode = wrong.length ? 1 : 0;

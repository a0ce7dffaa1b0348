// Perfetto's own trace_processor (wasm) under Node: no browser, no network.
//
//   const { rejected, query } = await load(UI_DIR, bytes)
//
// UI_DIR holds `engine_bundle.js` and `trace_processor.wasm`. The glue is built for a web worker and talks
// TraceProcessorRpc, a stream of protobuf messages, over a MessagePort.
import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';

// Methods and fields of TraceProcessorRpc (protos/perfetto/trace_processor/trace_processor.proto).
const METHOD = { append: 1, finalize: 2, query: 3 };
const RPC = { seq: 1, request: 2, fatal: 5, appendData: 101, queryArgs: 103, appendResult: 201, queryResult: 203 };
const CHUNK = 1 << 24;

function varint(number) {
  const out = [];
  let rest = BigInt(number);
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return Buffer.from([...out, Number(rest)]);
}
const numberField = (field, value) => Buffer.concat([varint(field * 8), varint(value)]);
const bytesField = (field, value) => Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);

function readVarint(buffer, at) {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    if (at >= buffer.length) return null;
    const byte = buffer[at++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return [value, at];
  }
}

// [field, value]: a bigint, or bytes.
function* fields(buffer) {
  for (let at = 0; at < buffer.length; ) {
    let key, value, length;
    [key, at] = readVarint(buffer, at);
    const wire = Number(key & 7n);
    if (wire === 0) {
      [value, at] = readVarint(buffer, at);
    } else {
      if (wire === 2) [length, at] = readVarint(buffer, at);
      else length = wire === 1 ? 8 : 4;
      value = buffer.subarray(at, at + Number(length));
      at += Number(length);
    }
    yield [Number(key >> 3n), value];
  }
}

// Integers, packed or one.
function integers(value) {
  if (typeof value === 'bigint') return [BigInt.asIntN(64, value)];
  const out = [];
  for (let at = 0; at < value.length; ) {
    let one;
    [one, at] = readVarint(value, at);
    out.push(BigInt.asIntN(64, one));
  }
  return out;
}

function start(ui) {
  Object.defineProperty(process, 'type', { value: 'renderer', configurable: true });
  Object.assign(globalThis, {
    self: globalThis,
    WorkerGlobalScope() {},
    importScripts() {},
    location: { href: 'http://localhost/' },
    XMLHttpRequest: class {
      open(_, url) {
        this.url = url;
      }
      send() {
        this.response = new Uint8Array(fs.readFileSync(path.join(ui, path.basename(this.url)))).buffer;
      }
    },
  });
  console.warn = () => {};
  vm.runInThisContext(fs.readFileSync(path.join(ui, 'engine_bundle.js'), 'utf8'), { filename: 'engine_bundle.js' });
}

// One table of a query's result, added to `result`; true at its last.
function takeTable(buffer, result) {
  let last = false;
  for (const [field, value] of fields(buffer)) {
    if (field === 1) result.columns.push(String(value));
    if (field === 2) throw new Error(String(value));
    if (field !== 3) continue;
    const cells = { types: [], ints: [], doubles: [], texts: [] };
    for (const [part, bytes] of fields(value)) {
      if (part === 1) cells.types.push(...integers(bytes).map(Number));
      if (part === 2) cells.ints.push(...integers(bytes));
      if (part === 3) for (let i = 0; i < bytes.length; i += 8) cells.doubles.push(bytes.readDoubleLE(i));
      if (part === 5) cells.texts = String(bytes).split('\0');
      if (part === 6 && bytes) last = true;
    }
    let [int, double, text] = [0, 0, 0];
    for (const type of cells.types) {
      const cell = { 2: () => cells.ints[int++], 3: () => cells.doubles[double++], 4: () => cells.texts[text++] }[type];
      result.cells.push(cell ? cell() : null);
    }
  }
  return last;
}

export async function load(ui, trace) {
  start(ui);
  const { port1, port2 } = new MessageChannel();
  let received = Buffer.alloc(0);
  let wake = () => {};
  const inbox = [];
  port1.onmessage = ({ data }) => {
    received = Buffer.concat([received, data]);
    while (received.length) {
      const head = readVarint(received, 1);
      if (!head || received.length < head[1] + Number(head[0])) break;
      const end = head[1] + Number(head[0]);
      inbox.push(received.subarray(head[1], end));
      received = received.subarray(end);
    }
    wake();
  };
  const receive = async () => {
    while (!inbox.length) await new Promise((done) => (wake = done));
    const message = inbox.shift();
    for (const [field, value] of fields(message)) if (field === RPC.fatal) throw new Error(String(value));
    return message;
  };
  let seq = 0;
  const call = (method, body = Buffer.alloc(0)) =>
    port1.postMessage(
      new Uint8Array(bytesField(1, Buffer.concat([numberField(RPC.seq, seq++), numberField(RPC.request, method), body]))),
    );

  const query = async (sql) => {
    call(METHOD.query, bytesField(RPC.queryArgs, bytesField(1, Buffer.from(sql))));
    const result = { columns: [], cells: [] };
    for (let last = false; !last; )
      for (const [field, value] of fields(await receive()))
        if (field === RPC.queryResult) last = takeTable(value, result) || last;
    const { columns, cells } = result;
    const rows = [];
    for (let i = 0; i < cells.length; i += columns.length)
      rows.push(Object.fromEntries(columns.map((name, k) => [name, cells[i + k]])));
    return rows;
  };

  // The worker's handler is there in the next turn of the loop.
  await new Promise((done) => setTimeout(done, 50));
  globalThis.onmessage({ data: port2 });
  let rejected = null;
  for (let at = 0; at === 0 || at < trace.length; at += CHUNK) {
    call(METHOD.append, bytesField(RPC.appendData, trace.subarray(at, at + CHUNK)));
    for (const [field, value] of fields(await receive()))
      if (field === RPC.appendResult)
        for (const [part, text] of fields(value)) if (part === 2) rejected ??= String(text);
  }
  call(METHOD.finalize);
  await receive();
  const close = () => {
    port1.close();
    port2.close();
  };
  return { rejected, query, close };
}

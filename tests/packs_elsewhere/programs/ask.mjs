// What the tests ask the JavaScript reader; ask.c says what each command is.
import { readFileSync, readSync, writeSync } from "node:fs";
import { half, halfOf } from "../../../packs/js/dtypes.js";
import * as packs from "../../../packs/js/index.js";

const { EntityFeatures, EntityPredictions, InputError, Pack, PackError, Rows } = packs;

const FLOATS = ["float16", "float32", "float64"];
const NO_NAME = -3;

function read(count) {
  const bytes = Buffer.alloc(count);
  for (let at = 0; at < count; ) {
    try {
      const more = readSync(0, bytes, at, count - at, null);
      if (!more) process.exit(0); // no more questions
      at += more;
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // nothing there yet
    }
  }
  return bytes;
}

const readWord = () => read(read(4).readUInt32LE());

function write(bytes) {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // the pipe is full
    }
  }
}

// JSON with NaN and infinities, as Python reads and writes it, and with all digits of a BigInt.
function json(value) {
  if (typeof value === "number") {
    if (Object.is(value, -0)) return "-0.0";
    // So that Python does not take it for an integer of these digits.
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? value.toExponential() : `${value}`;
  }
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${Array.from(value, json)}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}:${json(each)}`)}}`;
}

function describe({ header }) {
  const { model, version, manifest, canonicaliser, answered_by, body, count, expires } = header;
  const fields = header.fields.map(({ name, role, dtype, encoding, shape, maxError }) => ({
    ...{ name, role, dtype, encoding, shape, max_error: maxError },
    default: Object.hasOwn(header.defaults, name) ? header.defaults[name] : null,
    categories: Object.hasOwn(header.categories, name) ? header.categories[name] : [],
  }));
  let entities = null;
  if (header.entities) {
    const { computedAt, defaultItems, ...others } = header.entities;
    entities = { ...others, computed_at: computedAt, default_items: defaultItems };
  }
  const texts = { model, version, manifest, canonicaliser, answered_by, body };
  return json({ ...texts, count, expires, fields, entities });
}

function lookUp(pack, keys) {
  const { fields } = pack.header;
  const width = 8 * fields.reduce((sum, { items }) => sum + items, 1);
  const out = new DataView(new ArrayBuffer((width * keys.length) / 16));
  let at = 0;
  for (let i = 0; i < keys.length; i += 16) {
    const entry = pack.find(keys.subarray(i, i + 16));
    out.setBigInt64(at, BigInt(entry), true);
    at += 8;
    if (entry < 0) continue;
    const values = pack.entry(entry);
    for (const { name, dtype, shape } of fields) {
      const value = values[name];
      for (const each of shape.length ? value : [value]) {
        if (FLOATS.includes(dtype)) out.setFloat64(at, each, true);
        else out.setBigInt64(at, BigInt(each), true);
        at += 8;
      }
    }
  }
  return Buffer.from(out.buffer, 0, at);
}

const READ = {
  float16: [2, (view, at) => half(view.getUint16(at, true))],
  float32: [4, (view, at) => view.getFloat32(at, true)],
  float64: [8, (view, at) => view.getFloat64(at, true)],
  int8: [1, (view, at) => view.getInt8(at)],
  uint8: [1, (view, at) => view.getUint8(at)],
  int16: [2, (view, at) => view.getInt16(at, true)],
  int32: [4, (view, at) => view.getInt32(at, true)],
  int64: [8, (view, at) => view.getBigInt64(at, true)],
  bool: [1, (view, at) => view.getUint8(at) !== 0],
};

function rows(bytes, canonicaliser, ...dtypes) {
  const columns = dtypes.map((dtype, i) => ({ name: `c${i}`, dtype }));
  const keys = new Rows(columns, canonicaliser !== "columns-v1");
  if (keys.canonicaliser !== canonicaliser) throw new Error(keys.canonicaliser);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = [];
  for (let at = 0; at < bytes.length; ) {
    const row = dtypes.map((dtype) => {
      if (dtype === "string") {
        const length = view.getUint32(at, true);
        at += 4 + length;
        return bytes.subarray(at - length, at).toString("utf8");
      }
      const [size, get] = READ[dtype];
      at += size;
      return get(view, at - size);
    });
    const key = keys.key(row);
    out.push(Buffer.from([key ? 1 : 0]), key ? Buffer.from(key) : Buffer.alloc(16));
  }
  return Buffer.concat(out);
}

function halves(bytes) {
  const out = Buffer.alloc((bytes.length / 8) * 10);
  for (let i = 0; i < bytes.length / 8; i++) {
    const bits = halfOf(bytes.readDoubleLE(8 * i));
    out.writeUInt16LE(bits, 10 * i);
    out.writeDoubleLE(half(bits), 10 * i + 2);
  }
  return out;
}

function names(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    found.push(bytes.subarray(at + 4, at + 4 + length).toString("utf8"));
    at += 4 + length;
  }
  return found;
}

function answer(pack, name) {
  try {
    const stored = pack.stored(name);
    const given = stored ?? pack.default();
    const { label = null, labels = null, value = null, confidence, age, ranked } = given ?? {};
    const entry = stored ? 0 : -1;
    const items = ranked?.items ?? [];
    const scores = items.map((_, i) => ranked.scores[i] ?? NaN);
    const numbers = { confidence: confidence ?? NaN, age: age ?? NaN, scores };
    return { entry, label, labels, value, items, ...numbers };
  } catch (error) {
    if (error instanceof InputError) return { entry: NO_NAME };
    throw error;
  }
}

function features(pack, name, now) {
  try {
    const { row, isStored, age } = pack.lookup(name, {}, now);
    return { entry: isStored ? 0 : -1, ...row, "@age": age };
  } catch (error) {
    if (error instanceof InputError) return { entry: NO_NAME };
    throw error;
  }
}

function answerTo(command, path, words, given) {
  if (command === "rows") return rows(given, path, ...words);
  if (command === "halves") return halves(given);
  const data = readFileSync(path);
  const now = Number(words[0] ?? 0);
  if (command === "describe") {
    return describe(Pack.open(data, { now, manifest: words[1], canonicaliser: words[2] }));
  }
  if (command === "predict") {
    const pack = EntityPredictions.open(data, words[1], () => now);
    return names(given).map((name) => json(answer(pack, name))).join("\n");
  }
  if (command === "features") {
    const pack = EntityFeatures.open(data, { now });
    return names(given).map((name) => json(features(pack, name, now))).join("\n");
  }
  const pack = Pack.open(data, { now: 0 });
  if (command === "look-up") return lookUp(pack, given);
  pack.verify();
  return "sound";
}

for (;;) {
  const words = Array.from({ length: read(4).readUInt32LE() }, () => readWord().toString());
  const [command, path, ...rest] = words;
  let made;
  try {
    made = Buffer.from(answerTo(command, path, rest, readWord()));
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    made = Buffer.from(command === "verify" ? error.message : json({ error: error.message }));
  }
  const size = Buffer.alloc(4);
  size.writeUInt32LE(made.length);
  write(size);
  write(made);
}

// What only JavaScript can get wrong; each check throws, and says what came.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as packs from "../../../packs/js/index.js";

const { EntityFeatures, EntityPredictions, ExpiredPack, InputError, Pack, PackError, Rows, entityKey } = packs;
const folder = process.argv[2];
const file = (name) => readFileSync(`${folder}/${name}.pack`);
const column = (dtype, more = {}) => new Rows([{ name: "x", dtype, ...more }], false);
const key = (...given) => Buffer.from(column(given[0]).key([given[1]])).toString("hex");

const checks = {
  "half a character is no text"() {
    for (const text of ["\ud800", "a\udc00", "\udc00\ud800"]) {
      assert.throws(() => entityKey(text, "entity-v1"), InputError);
      assert.throws(() => column("string").key([text]), InputError);
    }
    assert.ok(entityKey("😀", "entity-v1"));
  },
  "what is no name is refused"() {
    const pack = EntityPredictions.open(file("labels"), "demo", () => 0);
    for (const name of ["", 5, null, undefined, {}, ["user-1"]]) {
      assert.throws(() => pack.predict(name), InputError);
    }
  },
  "a value that a cast would change is refused, a missing one has no key"() {
    for (const [dtype, value] of [
      ...[["int8", 128], ["int8", -129], ["uint8", -1], ["int32", 0.5], ["int32", "1"], ["bool", 2]],
      ...[["int64", 2 ** 63], ["int64", 2n ** 63n], ["float32", 1e39], ["float16", 65520], ["int8", NaN]],
      ...[["float32", "1"], ["float32", {}], ["string", 5], ["string", null], ["int64", Infinity]],
    ]) {
      assert.throws(() => column(dtype).key([value]), InputError, `${dtype} ${String(value)}`);
    }
    for (const value of [NaN, Infinity, -Infinity, null, undefined]) {
      assert.equal(column("float32").key([value]), null);
    }
  },
  "numbers, flags and big integers of one value have one key"() {
    assert.equal(key("int64", 5), key("int64", 5n));
    assert.equal(key("bool", true), key("bool", 1));
    assert.equal(key("float32", true), key("float32", 1));
    assert.equal(key("float32", -0), key("float32", 0));
    assert.equal(key("float32", -1e-60), key("float32", 0));
    assert.equal(key("float32", 0.1), key("float32", Math.fround(0.1)));
    assert.notEqual(key("int64", 2n ** 53n), key("int64", 2n ** 53n + 1n));
  },
  "a missing text of a column that may lack some is a text"() {
    const lacking = new Rows([{ name: "x", dtype: "string", lacking: true }], false);
    assert.deepEqual(lacking.key([null]), column("string").key(["\x1amissing"]));
  },
  "rows come by name or in order, typed arrays too, and whole"() {
    const rows = new Rows(["a", "b"].map((name) => ({ name, dtype: "float32" })), true);
    const expected = rows.key([1, 2]);
    assert.deepEqual(rows.key({ b: 2, a: 1 }), expected);
    assert.deepEqual(rows.key(new Float32Array([1, 2])), expected);
    for (const row of [[1], [1, 2, 3], { a: 1 }, { a: 1, b: 2, c: 3 }, null, 5, "ab"]) {
      assert.throws(() => rows.key(row), InputError);
    }
  },
  "long texts after short ones, and short after long, have the keys that they have alone"() {
    const rows = column("string");
    const long = "é".repeat(5000);
    const alone = ["a", long, "b"].map((text) => column("string").key([text]));
    assert.deepEqual(["a", long, "b"].map((text) => rows.key([text])), alone);
  },
  "a pack is read out of any buffer, at any offset"() {
    const raw = file("dtypes");
    const shifted = new Uint8Array(raw.length + 3);
    shifted.set(raw, 3);
    const expected = Pack.open(raw, { now: 0 }).entry(1);
    assert.deepEqual(Pack.open(shifted.subarray(3), { now: 0 }).entry(1), expected);
    const alone = shifted.buffer.slice(3);
    assert.deepEqual(Pack.open(alone, { now: 0 }).entry(1), expected);
    for (const data of [null, undefined, "x", [1, 2], {}]) assert.throws(() => Pack.open(data), PackError);
  },
  "a pack whose time is over says so, and features of it too"() {
    assert.throws(() => Pack.open(file("encodings")), ExpiredPack);
    assert.throws(() => Pack.open(file("encodings"), { now: 2_000_000 }), ExpiredPack);
    assert.ok(Pack.open(file("encodings"), { now: 1_999_999 }));
  },
  "a clock that is behind counts on from when answers were computed"() {
    let now = -100;
    const pack = EntityPredictions.open(file("probabilities"), "demo", () => now);
    assert.equal(pack.predict("user-1").age, 0);
    now += 999;
    assert.equal(pack.predict("user-1").age, 999);
    now = 999_900; // the file lasts a million seconds
    assert.equal(pack.predict("user-1").source, "default");
    now = 1_000_060; // it was set
    assert.equal(pack.predict("user-1").age, 60);
  },
  "a stale feature is told, and one of the moment goes over it"() {
    const pack = EntityFeatures.open(file("features"));
    const { row, age, isStale } = pack.lookup("user-1", { age: 5, basket: 1 }, 1_000_030);
    assert.deepEqual([row.age, row.basket, row.city, age, isStale], [5, 1, "Łódź", 30, true]);
    assert.equal(pack.lookup("user-1", {}, 1_000_029).isStale, false);
    assert.equal(pack.lookup("東京-7", {}, 0).row.orders, 0);
    assert.equal(pack.lookup("Łódź", {}, 0).row.orders, 2n ** 53n + 1n);
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    check();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
console.log(`${Object.keys(checks).length} checks`);

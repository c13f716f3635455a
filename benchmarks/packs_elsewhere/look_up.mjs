// look_up.mjs INDEX PACK KEYS ROWS COLUMNS: as look_up.c; INDEX is the reader's index.js.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [index, path, keysPath, rowsPath, columns] = process.argv.slice(2);
const { Pack, Rows } = await import(index);
const width = Number(columns);
const pack = Pack.open(readFileSync(path));
pack.verify();
const names = Array.from({ length: width }, (_, i) => ({ name: `f${i}`, dtype: "float32" }));
const rows = new Rows(names, true);
const keyBytes = readFileSync(keysPath);
const keys = Array.from({ length: keyBytes.length / 16 }, (_, i) =>
  keyBytes.subarray(16 * i, 16 * i + 16),
);
const rowBytes = readFileSync(rowsPath);
const floats = new Float32Array(rowBytes.buffer.slice(rowBytes.byteOffset, rowBytes.byteOffset + rowBytes.length));
const given = keys.map((_, i) => floats.subarray(width * i, width * i + width));
const [{ name }] = pack.header.fields;
let sum = 0;

function readValues(entry) {
  if (entry < 0) process.exit(3);
  for (const value of pack.value(entry, name)) sum += value;
}

for await (const turn of createInterface({ input: process.stdin })) {
  const begin = process.cpuUsage();
  if (turn === "key") for (const key of keys) readValues(pack.find(key));
  else for (const row of given) readValues(pack.find(rows.key(row)));
  const { user, system } = process.cpuUsage(begin); // microseconds
  console.log(((1e3 * (user + system)) / keys.length).toFixed(2));
}
if (!sum) process.exit(1);

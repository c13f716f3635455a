// fuzz.mjs COUNT SEED PACK…: mutate packs as fuzz.c does; nothing but the reader's own errors may come.
import { readFileSync } from "node:fs";
import { crc32 } from "../../../packs/js/hashes.js";
import { EdgeError, EntityFeatures, EntityPredictions, Pack } from "../../../packs/js/index.js";

const [count, seed, ...paths] = process.argv.slice(2);
let state = (Number(seed) * 2654435761 + 1) >>> 0;
const roll = (sides) => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5; // xorshift32
  return (state >>> 0) % (sides || 1);
};
const PIECES = [
  ...["0", "1", "-1", "24", "25", "30", "4294967296", "9223372036854775807", "9007199254740993"],
  ...["1e308", "1e999", "0.1", "null", "true", "[]", "{}", "[1]", '""', '"uint8"', '"float16"'],
  ...['"int64"', '"label"', '"probabilities"', '"scores"', '"items"', '"entity-v1"', '"__proto__"'],
  ...['"entity-answers-v1"', '"dense-float32-v1"', '"top":1,', '"shape":[1,1],', '"count":0,'],
  ...['"shape":[1099511627776],', '"\\u00005"', "\\ud800", "\\", '"', "{", "}", "[", ",", ":", "\xff"],
];
const WAYS = new Map([
  ["entity-v1", EntityFeatures],
  ["entity-answers-v1", EntityPredictions],
]);
const files = paths.map((path) => readFileSync(path));
const aligned = (n) => Math.ceil(n / 64) * 64;

function mutant(file) {
  const length = file.readUInt32LE(12);
  let text = file.subarray(20, 20 + length).toString("latin1");
  const body = file.subarray(aligned(20 + length));
  const kind = roll(8);
  for (let n = kind < 5 ? 1 + roll(3) : 0; n; n--) {
    let begin = roll(text.length);
    while (begin && !":,[".includes(text[begin - 1])) begin--;
    let end = begin;
    while (end < text.length && !",]}".includes(text[end])) end++;
    text = text.slice(0, begin) + PIECES[roll(PIECES.length)] + text.slice(end);
  }
  const header = Buffer.from(text, "latin1");
  const out = Buffer.alloc(aligned(20 + header.length) + body.length);
  file.copy(out, 0, 0, 20);
  header.copy(out, 20);
  body.copy(out, aligned(20 + header.length));
  out.writeUInt32LE(header.length, 12);
  out.writeUInt32LE(crc32(header), 16);
  if (kind === 5) for (let n = 0; n < 8; n++) out[out.length - 1 - roll(body.length)] ^= 1 << roll(8);
  return kind === 7 ? out.subarray(0, roll(out.length)) : out;
}

// Make the checksum of each block again, as far as the directory leads to places in the file.
function mend({ header, _sections: at }, bytes) {
  const length = 4 * 2 ** (header.directory_bits - header.check_bits);
  for (let block = 0; block < 2 ** header.check_bits; block++) {
    const edges = at.directory + length * block;
    const [first, end] = [edges, edges + length].map((place) => bytes.readUInt32LE(place));
    if (first > end || end > header.count) continue;
    let crc = crc32(bytes, 0, edges, edges + length + 4);
    crc = crc32(bytes, crc, at.keys + 16 * first, at.keys + 16 * end);
    const { valueBytes } = header;
    crc = crc32(bytes, crc, at.values + valueBytes * first, at.values + valueBytes * end);
    bytes.writeUInt32LE(crc, at.checks + 4 * block);
  }
}

function useAll(bytes) {
  const pack = Pack.open(bytes, { now: 0 });
  if (roll(2)) mend(pack, bytes);
  for (let at = pack._sections.keys, n = 0; n < Math.min(pack.size, 8); n++, at += 16) {
    pack.get(bytes.subarray(at, at + 16));
  }
  pack.get(new Uint8Array(16));
  const Way = WAYS.get(pack.header.canonicaliser);
  const opened = Way && new Way(pack);
  for (const name of ["user-1", "Łódź", "nobody"]) opened?.lookup?.(name) ?? opened?.predict?.(name);
  pack.verify();
}

let refused = 0;
for (let i = 0; i < Number(count); i++) {
  try {
    useAll(mutant(files[i % files.length]));
  } catch (error) {
    if (!(error instanceof EdgeError)) throw error;
    refused++;
  }
}
console.log(`${count} mutants, ${refused} refused`);

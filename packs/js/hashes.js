/**
 * CRC-32 and SHA-256 at once, without a promise: a look-up needs both, and crypto.subtle gives
 * SHA-256 only later.
 */

// Four tables, to take four bytes at once.
const CRC = Array.from({ length: 4 }, () => new Int32Array(256));
for (let i = 0; i < 256; i++) {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  CRC[0][i] = crc;
}
for (let i = 0; i < 256; i++) {
  for (let k = 1; k < 4; k++) CRC[k][i] = (CRC[k - 1][i] >>> 8) ^ CRC[0][CRC[k - 1][i] & 255];
}
const [CRC0, CRC1, CRC2, CRC3] = CRC;

/**
 * @param {Uint8Array} bytes
 * @param {number} [crc] of what comes before them
 * @returns {number} 0 to 2^32 - 1
 */
export function crc32(bytes, crc = 0, begin = 0, end = bytes.length) {
  let c = ~crc;
  let i = begin;
  for (; i + 4 <= end; i += 4) {
    c ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    c = CRC3[c & 255] ^ CRC2[(c >>> 8) & 255] ^ CRC1[(c >>> 16) & 255] ^ CRC0[c >>> 24];
  }
  for (; i < end; i++) c = (c >>> 8) ^ CRC0[(c ^ bytes[i]) & 255];
  return ~c >>> 0;
}

const words = (text) => Int32Array.from(text.split(" "), (word) => parseInt(word, 16));
const FIRST = words("6a09e667 bb67ae85 3c6ef372 a54ff53a 510e527f 9b05688c 1f83d9ab 5be0cd19");
const K = words(
  "428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5 d807aa98 12835b01 " +
  "243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174 e49b69c1 efbe4786 0fc19dc6 240ca1cc " +
  "2de92c6f 4a7484aa 5cb0a9dc 76f988da 983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 " +
  "06ca6351 14292967 27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85 " +
  "a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070 19a4c116 1e376c08 " +
  "2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3 748f82ee 78a5636f 84c87814 8cc70208 " +
  "90befffa a4506ceb bef9a3f7 c67178f2",
);
const w = new Int32Array(64);
const state = new Int32Array(8);
const tail = new Uint8Array(128);

function block(bytes, at) {
  for (let i = 0; i < 16; i++, at += 4) {
    w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
  }
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15];
    const y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const one = (h + s1 + (g ^ (e & (f ^ g))) + K[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const two = (s0 + ((a & b) | (c & (a | b)))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/**
 * @param {Uint8Array} bytes
 * @param {DataView} digest written to, its 32 bytes or the first of them
 */
export function sha256(bytes, digest, length = bytes.length) {
  state.set(FIRST);
  let at = 0;
  for (; at + 64 <= length; at += 64) block(bytes, at);
  const rest = length - at;
  const end = rest < 56 ? 64 : 128;
  tail.fill(0);
  for (let i = 0; i < rest; i++) tail[i] = bytes[at + i];
  tail[rest] = 0x80;
  let bits = length * 8;
  for (let i = 1; i <= 8; i++, bits = Math.floor(bits / 256)) tail[end - i] = bits % 256;
  for (let i = 0; i < end; i += 64) block(tail, i);
  for (let i = 0; i < digest.byteLength; i += 4) digest.setInt32(i, state[i >> 2]);
}

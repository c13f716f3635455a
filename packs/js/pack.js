/**
 * An open pack: precomputed answers by key, in a buffer that stays as it is.
 *
 * No byte is answered before the checksum of its block was compared, at the block's first use.
 */
import { DTYPES, plain, rounded } from "./dtypes.js";
import { ExpiredPack, PackError } from "./errors.js";
import { crc32, sha256 } from "./hashes.js";
import { readHeader } from "./header.js";
import { ENTITY } from "./keys.js";

export const ABSENT = -1;
export const IN_DAMAGED_BLOCK = -2;
const UNCHECKED = 0;
const SOUND = 1;
const DAMAGED = 2;
const KEY_BYTES = 16;

/** The top bits of a checksum; `check >>> 32` would be `check`. */
const top = (check, bits) => (bits ? check >>> (32 - bits) : 0);

export class Pack {
  /**
   * @param {ArrayBuffer | Uint8Array} data the whole file
   * @param {object} [wanted] what it must be
   * @param {string} [wanted.manifest] made for the release with this SHA-256 of manifest.json
   * @param {string} [wanted.model] made for this model
   * @param {string} [wanted.canonicaliser] with keys of this kind: `rows.canonicaliser`
   * @param {number} [wanted.now] not expired at this moment, Unix seconds; by default the clock
   * @throws {PackError} it is truncated, damaged, expired, or made for something else
   */
  static open(data, { manifest, model, canonicaliser, now = Date.now() / 1000 } = {}) {
    const isBuffer = Object.prototype.toString.call(data).endsWith("ArrayBuffer]");
    if (!isBuffer && !(data instanceof Uint8Array)) {
      throw new PackError(`expected an ArrayBuffer or Uint8Array, got ${typeof data}`);
    }
    const bytes = isBuffer ? new Uint8Array(data) : data;
    const { header, sections } = readHeader(bytes);
    const short = (digest) => `${String(digest).slice(0, 12)}…`;
    const refuse = (message) => {
      throw new PackError(message);
    };
    if (manifest !== undefined && manifest !== header.manifest) {
      const release = `${header.model} ${header.version} (${short(header.manifest)})`;
      refuse(`made for release ${release}, expected ${short(manifest)}`);
    }
    if (model !== undefined && model !== header.model) {
      refuse(`made for ${header.model}, expected ${model}`);
    }
    if (canonicaliser !== undefined && canonicaliser !== header.canonicaliser) {
      refuse(`keys of ${header.canonicaliser}, expected ${canonicaliser}`);
    }
    if (header.expires !== null && now >= header.expires) {
      throw new ExpiredPack(`expired at ${header.expires} (Unix seconds)`);
    }
    return new Pack(bytes, header, sections);
  }

  constructor(bytes, header, sections) {
    this.header = header;
    /** What was found damaged since it was opened; null for nothing. */
    this.damage = null;
    this._bytes = bytes;
    this._view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this._sections = sections;
    this._blocks = new Uint8Array(2 ** header.check_bits);
    this._filters = header.canonicaliser !== ENTITY;
    this._readers = new Map(header.fields.map((field) => [field.name, this._reader(field)]));
  }

  /** Entries. */
  get size() {
    return this.header.count;
  }

  /**
   * The values stored under a key, by name: numbers (booleans, or BigInts where a number would not
   * be exact) of fields without a shape, else typed arrays, row-major. Halves come as float32.
   * @param {Uint8Array} key 16 bytes
   * @returns {Record<string, unknown> | null}
   */
  get(key) {
    const entry = this.find(key);
    return entry < 0 ? null : this.entry(entry);
  }

  /** The entry of a key; ABSENT, or IN_DAMAGED_BLOCK if the file is damaged where it would be. */
  find(key) {
    const { header, _view: view, _bytes: bytes, _sections: at } = this;
    const check = ((key[0] << 24) | (key[1] << 16) | (key[2] << 8) | key[3]) >>> 0;
    const mark = bytes[at.filter + top(check, header.filter_bits)];
    // The filter has no checksum: a bit lost there must not put defaults in place of features.
    if (!((mark >> (check & 7)) & 1) && this._filters) return ABSENT;
    const block = top(check, header.check_bits);
    if (this._blocks[block] !== SOUND && !this._isSound(block)) return IN_DAMAGED_BLOCK;
    const bucket = at.directory + 4 * top(check, header.directory_bits);
    const end = view.getUint32(bucket + 4, true);
    for (let entry = view.getUint32(bucket, true); entry < end; entry++) {
      const place = at.keys + KEY_BYTES * entry;
      let i = 0;
      while (i < KEY_BYTES && bytes[place + i] === key[i]) i++;
      if (i === KEY_BYTES) return entry;
    }
    return ABSENT;
  }

  /** The values of an entry by name, as {@link get} gives them. */
  entry(index) {
    // Without a prototype: an output may have any name, also "__proto__".
    const values = Object.create(null);
    for (const [name, read] of this._readers) values[name] = read(index);
    return values;
  }

  /** One of them. */
  value(index, name) {
    return this._readers.get(name)(index);
  }

  /** The stored bytes of one, as a view. */
  raw(index, name) {
    const { begin, bytes } = this.header.fields.find((field) => field.name === name);
    const at = this._sections.values + this.header.valueBytes * index + begin;
    return this._bytes.subarray(at, at + bytes);
  }

  /**
   * Check every byte: SHA-256 of the body, order of the keys, and that each is found.
   * @throws {PackError} the content is damaged, or was written incorrectly
   */
  verify() {
    const digest = new Uint8Array(32);
    sha256(this._bytes.subarray(this._sections.directory), new DataView(digest.buffer));
    const text = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (text !== this.header.body) throw this._damaged("the content is damaged (SHA-256 differs)");
    let before = null;
    for (let i = 0; i < this.size; i++) {
      const at = this._sections.keys + KEY_BYTES * i;
      const key = this._bytes.subarray(at, at + KEY_BYTES);
      if ((before && !isLess(before, key)) || this.find(key) !== i) {
        throw this._damaged(`entry ${i} is not where directory, filter and checks have it`);
      }
      before = key;
    }
  }

  _damaged(message) {
    this.damage ??= message;
    return new PackError(message);
  }

  _isSound(block) {
    if (this._blocks[block] === UNCHECKED) {
      const sound = this._matches(block);
      this._blocks[block] = sound ? SOUND : DAMAGED;
      if (!sound) this._damaged(`block ${block} is damaged (CRC-32 differs)`);
    }
    return this._blocks[block] === SOUND;
  }

  _matches(block) {
    const { header, _view: view, _bytes: bytes, _sections: at } = this;
    const length = 4 * 2 ** (header.directory_bits - header.check_bits);
    const edges = at.directory + length * block;
    const first = view.getUint32(edges, true);
    const end = view.getUint32(edges + length, true);
    // A lie with a true checksum: what is found between two edges must be an entry.
    if (end > header.count) return false;
    for (let i = edges, last = first; i < edges + length; i += 4) {
      const next = view.getUint32(i + 4, true);
      if (next < last) return false;
      last = next;
    }
    const { valueBytes } = header;
    let crc = crc32(bytes, 0, edges, edges + length + 4);
    crc = crc32(bytes, crc, at.keys + KEY_BYTES * first, at.keys + KEY_BYTES * end);
    crc = crc32(bytes, crc, at.values + valueBytes * first, at.values + valueBytes * end);
    return crc === view.getUint32(at.checks + 4 * block, true);
  }

  /** A function that gives the value of an entry. */
  _reader({ dtype, encoding, shape, items, begin, scale, offset }) {
    const { _view: view, _sections: sections, header } = this;
    const at = (index) => sections.values + header.valueBytes * index + begin;
    const stored = DTYPES[encoding ?? dtype];
    const { bytes } = stored;
    let get = stored.get;
    if (encoding === "uint8") {
      const code = (i) => rounded(dtype, offset + scale * i);
      const table = Float64Array.from({ length: 256 }, (_, i) => code(i));
      get = (from, place) => table[from.getUint8(place)];
    }
    if (!shape.length) {
      if (dtype === "bool") return (index) => get(view, at(index)) === 1;
      if (dtype === "int64") return (index) => plain(get(view, at(index)));
      return (index) => get(view, at(index));
    }
    const Values = DTYPES[dtype].array;
    return (index) => {
      const values = new Values(items);
      const place = at(index);
      for (let i = 0; i < items; i++) values[i] = get(view, place + bytes * i);
      return values;
    };
  }
}

function isLess(a, b) {
  let i = 0;
  while (i < KEY_BYTES - 1 && a[i] === b[i]) i++;
  return a[i] < b[i];
}

/** Keys of packs: made of a row of declared columns, or of the name of an entity. */
import { DTYPES, rounded } from "./dtypes.js";
import { InputError } from "./errors.js";
import { crc32, sha256 } from "./hashes.js";

export const ENTITY = "entity-v1";
export const ENTITY_ANSWERS = "entity-answers-v1";
/** Text that stands for a missing value in a column of text that may lack some. */
export const MISSING_TEXT = "\x1amissing";
const STRING = "string";
const encoder = new TextEncoder();

/** The key, 16 bytes, of the first `length` of `named`: canonicaliser, NUL, canonical bytes. */
export function keyOf(named, length = named.length) {
  const key = new Uint8Array(16);
  const view = new DataView(key.buffer);
  view.setUint32(0, crc32(named, 0, 0, length));
  sha256(named, new DataView(key.buffer, 4), length);
  return key;
}

/** False for a text with half a character, a lone surrogate, which UTF-8 cannot hold. */
export const isUnicode = (text) => !/\p{Surrogate}/u.test(text);

/** A text as UTF-8; TextEncoder alone would put another character in place of half of one. */
function utf8(what, text) {
  if (!isUnicode(text)) {
    throw new InputError(`${what}: expected Unicode text, got a lone surrogate`);
  }
  return encoder.encode(text);
}

/**
 * The key of an entity's name.
 * @param {string} entity
 * @param {string} canonicaliser ENTITY of features, ENTITY_ANSWERS of predictions
 * @returns {Uint8Array} 16 bytes
 * @throws {InputError} it is no text, or empty
 */
export function entityKey(entity, canonicaliser) {
  if (typeof entity !== "string" || !entity) {
    throw new InputError(`entity: expected a name, got ${shown(entity)}`);
  }
  const name = utf8("entity", entity);
  const named = new Uint8Array(canonicaliser.length + 1 + name.length);
  encoder.encodeInto(canonicaliser, named);
  named.set(name, canonicaliser.length + 1);
  return keyOf(named);
}

function shown(value) {
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.slice(0, 60);
}

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} dtype
 * @property {boolean | null} [lacking] of a text that may miss values
 */

/** Keys of rows; an object of it is used over and over. */
export class Rows {
  /**
   * @param {Column[]} columns in the order of the release
   * @param {boolean} dense true if all are in one numeric tensor, in order
   */
  constructor(columns, dense) {
    for (const { name, dtype } of columns) {
      if (dtype !== STRING && !DTYPES[dtype]) throw new InputError(`${name}: no dtype ${dtype}`);
    }
    if (!columns.length) throw new InputError("columns: expected at least one");
    if (dense && columns.some(({ dtype }) => dtype === STRING || dtype !== columns[0].dtype)) {
      throw new InputError("columns: expected one numeric dtype for a dense row");
    }
    this.columns = columns;
    /** Name of the rule; a pack has the same one. */
    this.canonicaliser = dense ? `dense-${columns[0].dtype}-v1` : "columns-v1";
    this._names = new Set(columns.map(({ name }) => name));
    this._dtypes = columns.map(({ dtype }) => (dtype === STRING ? null : DTYPES[dtype]));
    this._texts = [...columns.keys()].filter((i) => this._dtypes[i] === null);
    const sizes = this._dtypes.map((dtype) => dtype?.bytes ?? 4);
    /** Bytes without those of the texts. */
    this._fixed = sizes.reduce((a, b) => a + b, this.canonicaliser.length + 1);
    this._reserve(this._fixed);
  }

  /**
   * Those of a release.
   * @param {object} signature of its manifest.json
   */
  static of(signature) {
    const { inputs, columns = [] } = signature;
    const [tensor] = inputs;
    const dense =
      inputs.length === 1 &&
      tensor.dtype !== STRING &&
      columns.every(({ dtype, index = 0 }, i) => index === i && dtype === tensor.dtype);
    return new Rows(columns, dense);
  }

  /**
   * The key of a row.
   * @param {ArrayLike | Record<string, unknown>} row values in order, or by the columns' names
   * @returns {Uint8Array | null} 16 bytes; null if a number is missing, NaN or infinite: no pack
   *   has an answer
   * @throws {InputError} a value does not fit its column
   */
  key(row) {
    const values = this._inOrder(row);
    const raw = this._texts.map((i) => text(this.columns[i], values[i]));
    const length = raw.reduce((sum, each) => sum + each.length, this._fixed);
    if (length > this._named.length) this._reserve(2 * length);
    let at = this.canonicaliser.length + 1;
    for (let i = 0, next = 0; i < values.length; i++) {
      const dtype = this._dtypes[i];
      if (dtype === null) {
        const each = raw[next++];
        this._view.setUint32(at, each.length, true);
        this._named.set(each, at + 4);
        at += 4 + each.length;
        continue;
      }
      const number = checked(this.columns[i], dtype, values[i]);
      if (number === null) return null;
      dtype.set(this._view, at, number);
      at += dtype.bytes;
    }
    return keyOf(this._named, length);
  }

  _reserve(bytes) {
    this._named = new Uint8Array(bytes);
    this._view = new DataView(this._named.buffer);
    encoder.encodeInto(this.canonicaliser, this._named);
  }

  _inOrder(row) {
    const { columns } = this;
    if (row === null || typeof row !== "object") {
      throw new InputError(`expected a row of ${columns.length} features, got ${shown(row)}`);
    }
    if (Array.isArray(row) || ArrayBuffer.isView(row)) {
      if (row.length === columns.length) return row;
      throw new InputError(`expected ${columns.length} features, got ${row.length}`);
    }
    const missing = columns.find(({ name }) => !Object.hasOwn(row, name));
    if (missing) throw new InputError(`expected feature '${missing.name}', it is not in the row`);
    const extra = Object.keys(row).find((name) => !this._names.has(name));
    if (extra !== undefined) throw new InputError(`'${extra}' is no feature of this model`);
    return columns.map(({ name }) => row[name]);
  }
}

/** The UTF-8 of a value of a text column. */
function text({ name, lacking }, value) {
  const isMissing = value === null || value === undefined || Number.isNaN(value);
  const given = isMissing && lacking ? MISSING_TEXT : value;
  if (typeof given !== "string") {
    throw new InputError(`feature '${name}': expected a string, got ${shown(value)}`);
  }
  return utf8(`feature '${name}'`, given);
}

/**
 * A value as its column has it; null if it is not finite. Refuses what a cast would change beyond
 * rounding a float, as edge_sdk does.
 */
function checked(column, { least, most }, value) {
  const given = value ?? NaN;
  const kind = typeof given;
  if (kind !== "number" && kind !== "boolean" && kind !== "bigint") throw refusal(column, value);
  const number = kind === "number" ? given : Number(given);
  if (least === undefined) {
    if (!Number.isFinite(number)) return null;
    const stored = rounded(column.dtype, number);
    if (!Number.isFinite(stored)) throw refusal(column, value);
    return stored === 0 ? 0 : stored; // -0 counts as 0
  }
  if (kind !== "bigint" && !Number.isInteger(number)) throw refusal(column, value);
  if (given < least || given > most) throw refusal(column, value);
  return column.dtype === "int64" ? BigInt(given) : number;
}

const refusal = ({ name, dtype }, value) =>
  new InputError(`feature '${name}': expected ${dtype}, got ${shown(value)}`);

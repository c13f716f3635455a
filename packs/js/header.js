/** The header of a pack: parsed, checked, and where it says that the sections lie. */
import { DTYPES, FLOATS, plain } from "./dtypes.js";
import { PackError } from "./errors.js";
import { crc32 } from "./hashes.js";
import { ENTITY, ENTITY_ANSWERS, isUnicode } from "./keys.js";

const MAGIC = "EDGEPACK";
const FORMAT = 5;
const PREFIX = 20;
const LIMIT = 1 << 20;
const LATEST = 2 ** 33;
const VALUE_BYTES = 2 ** 30;
const AXES = 16;
const ROLES = ["label", "probabilities", "scores", "value", "embedding", "other"];

function need(fits, message) {
  if (!fits) throw new PackError(message);
}

const isText = (value) => typeof value === "string" && !value.includes("\0") && isUnicode(value);
const isWhole = (value, most = Infinity) =>
  (Number.isSafeInteger(value) || typeof value === "bigint") && value >= 0 && value <= most;
const isNumber = (value) => Number.isFinite(value) || typeof value === "bigint";
const isDigest = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isLabel = (value) =>
  isText(value) || Number.isSafeInteger(value) || typeof value === "bigint";
const aligned = (offset) => Math.ceil(offset / 64) * 64;

/**
 * @param {Uint8Array} bytes the whole file
 * @returns {{header: object, sections: object}} with what is missing filled in
 * @throws {PackError} it is no pack, or truncated, or damaged in its header
 */
export function readHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = String.fromCharCode(...bytes.subarray(0, 8));
  need(bytes.length >= PREFIX && magic === MAGIC, "not a pack file (wrong magic)");
  const format = view.getUint32(8, true);
  need(format === FORMAT, `expected format ${FORMAT}, got ${format}`);
  const length = view.getUint32(12, true);
  need(length <= LIMIT && PREFIX + length <= bytes.length, "the header is truncated or too large");
  const text = bytes.subarray(PREFIX, PREFIX + length);
  need(crc32(text) === view.getUint32(16, true), "the header is damaged (CRC-32 differs)");
  const header = checked(parsed(text));
  const sections = layout(header, aligned(PREFIX + length));
  need(
    sections.end === bytes.length,
    `expected ${sections.end} bytes, got ${bytes.length}; it is truncated`,
  );
  return { header, sections };
}

/** JSON whose integers beyond 2^53 are BigInts: JSON.parse alone would round them. */
function parsed(bytes) {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs;
    // Marked with a NUL, which no text of a header may have.
    const marked = decoder
      .decode(bytes.slice())
      .replace(tokens, (token) => (/^-?\d{16,}$/.test(token) ? `"\\u0000${token}"` : token));
    return JSON.parse(marked, (_, value) =>
      typeof value === "string" && /^\0-?\d+$/.test(value) ? plain(BigInt(value.slice(1))) : value,
    );
  } catch (error) {
    throw new PackError(`the header: expected JSON in UTF-8; ${error.message}`);
  }
}

function checked(root) {
  need(isObject(root), "the header: expected an object");
  const header = {
    expires: null,
    check_bits: 0,
    ...root,
    defaults: root.defaults ?? {},
    categories: root.categories ?? {},
    entities: root.entities ?? null,
  };
  header.expires ??= null;
  header.check_bits ??= 0;
  for (const name of ["model", "version", "canonicaliser", "answered_by"]) {
    need(isText(header[name]), `${name}: expected a text`);
  }
  need(isDigest(header.manifest) && isDigest(header.body), "manifest, body: expected a SHA-256");
  const lasts = header.expires === null || isWhole(header.expires, LATEST);
  need(lasts, "expires: expected Unix seconds, up to 2^33");
  need(isWhole(header.count, 2 ** 40), "count: expected 0 or more");
  need(isWhole(header.directory_bits, 24), "directory_bits: expected 0 to 24");
  need(isWhole(header.filter_bits, 29), "filter_bits: expected 0 to 29");
  const fits = isWhole(header.check_bits, header.directory_bits);
  need(fits, "check_bits: expected 0 to directory_bits");
  need(Array.isArray(header.fields) && header.fields.length, "fields: expected at least one");
  let begin = 0;
  header.fields = header.fields.map((given) => {
    const field = readField(given, begin);
    begin += field.bytes;
    return field;
  });
  header.valueBytes = begin;
  need(begin <= VALUE_BYTES, "fields: expected values of up to 2^30 bytes");
  checkColumns(header);
  const byEntity = header.canonicaliser === ENTITY_ANSWERS;
  need(byEntity === (header.entities !== null), "entities: expected of answers by entity");
  if (byEntity) header.entities = readEntities(header);
  return header;
}

function readField(given, begin) {
  need(isObject(given), "fields: expected objects");
  const { name, role, dtype, shape = [], encoding = null, scale = null, offset = null } = given;
  const maxError = given.max_error ?? 0;
  need(isText(name) && ROLES.includes(role), "fields: expected a name and a role");
  need(typeof dtype === "string" && DTYPES[dtype], `${name}: expected a dtype`);
  const isShape = Array.isArray(shape) && shape.every((n) => isWhole(n, VALUE_BYTES) && n > 0);
  need(isShape && shape.length <= AXES, `${name}: expected up to ${AXES} sizes of at least 1`);
  const isKnown = [null, "float16", "uint8"].includes(encoding);
  need(isKnown, `${name}: expected the encoding float16 or uint8`);
  need(encoding === null || FLOATS.includes(dtype), `${name}: expected an encoding of floats`);
  const coded = encoding === "uint8";
  const fits = (value) => (coded ? isNumber(value) : value === null);
  need(fits(scale) && fits(offset), `${name}: expected scale and offset with uint8 and only there`);
  need(isNumber(maxError) && maxError >= 0, `${name}: expected an error of at least 0`);
  const items = shape.reduce((a, b) => a * b, 1);
  const bytes = items * DTYPES[encoding ?? dtype].bytes;
  need(bytes <= VALUE_BYTES, `${name}: expected values of up to 2^30 bytes`);
  return {
    ...{ name, role, dtype, shape, encoding, maxError: Number(maxError), items, bytes, begin },
    scale: coded ? Number(scale) : null,
    offset: coded ? Number(offset) : null,
  };
}

function checkColumns({ fields, canonicaliser, defaults, categories }) {
  const names = new Set(fields.map(({ name }) => name));
  need(names.size === fields.length, "fields: expected different names");
  need(isObject(defaults) && isObject(categories), "defaults, categories: expected objects");
  const columns = canonicaliser === ENTITY ? names : new Set();
  const given = Object.keys(defaults);
  need(
    given.length === columns.size && given.every((name) => columns.has(name)),
    "defaults: expected those of the columns of entity features",
  );
  for (const value of Object.values(defaults)) {
    const fits = value === null || typeof value === "boolean" || isText(value) || isNumber(value);
    need(fits, "defaults: expected a value");
  }
  for (const { name, dtype, shape } of fields) {
    const isIndex = !FLOATS.includes(dtype) && dtype !== "bool";
    const fits = !(columns.size && shape.length) && (isIndex || !Object.hasOwn(categories, name));
    need(fits, `${name}: expected one value, and categories of an integer`);
  }
  for (const [name, texts] of Object.entries(categories)) {
    need(columns.has(name), `categories: expected of columns, got ${name}`);
    need(Array.isArray(texts) && texts.every(isText), `categories of ${name}: expected texts`);
  }
}

function readEntities({ entities, fields }) {
  need(isObject(entities), "entities: expected an object");
  const { job, generation, share = null } = entities;
  const about = {
    ...{ job, generation, share, computedAt: Number(entities.computed_at) },
    classes: entities.classes ?? [],
    threshold: entities.threshold ?? 0.5,
    top: entities.top ?? 0,
    default: entities.default ?? null,
    defaultItems: entities.default_items ?? [],
  };
  need(isText(job) && isWhole(generation), "entities: expected a job and its generation");
  const isMoment = isNumber(entities.computed_at) && about.computedAt >= 0;
  need(isMoment, "computed_at: expected Unix seconds");
  need(share === null || isText(share), "share: expected a text");
  need(Array.isArray(about.classes) && about.classes.every(isLabel), "classes: expected labels");
  need(isNumber(about.threshold) && isWhole(about.top), "threshold, top: expected numbers");
  const answer = about.default;
  const isAnswer = answer === null || isText(answer) || isNumber(answer);
  need(isAnswer, "default: expected a label or a number");
  const items = about.defaultItems;
  need(Array.isArray(items) && items.every(isText), "default_items: expected texts");
  checkAnswers(about, fields);
  return about;
}

/** A prediction can be made of the fields. */
function checkAnswers({ classes, top }, fields) {
  if (top) {
    const items = fields.find(({ name }) => name === "items");
    const scores = fields.find(({ name }) => name === "scores");
    const isList = (field) => field?.shape.length === 1 && field.encoding === null;
    const fits = isList(items) && isList(scores) && items.dtype === "uint8";
    need(fits && FLOATS.includes(scores.dtype), "expected items and scores of a ranked list");
    return;
  }
  for (const { name, role, shape, items, dtype } of fields) {
    if (role === "probabilities" || role === "scores") {
      const fits = shape.length === 1 && items === classes.length && FLOATS.includes(dtype);
      need(fits, `${name}: expected one for each of ${classes.length} classes`);
    } else if (role === "label") {
      const fits = classes.length > 0 && !shape.length && ![...FLOATS, "bool"].includes(dtype);
      need(fits, `${name}: expected the index of a class`);
    }
  }
}

function layout(header, directory) {
  const checks = aligned(directory + 4 * (2 ** header.directory_bits + 1));
  const filter = aligned(checks + 4 * 2 ** header.check_bits);
  const keys = aligned(filter + 2 ** header.filter_bits);
  const values = aligned(keys + 16 * header.count);
  const end = aligned(values + header.valueBytes * header.count);
  return { directory, checks, filter, keys, values, end };
}

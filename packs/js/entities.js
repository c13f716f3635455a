/** Answers and features by entity: looked up by a name, without a model and offline. */
import { PackError } from "./errors.js";
import { ENTITY, ENTITY_ANSWERS, entityKey } from "./keys.js";
import { IN_DAMAGED_BLOCK, Pack } from "./pack.js";

const SEPARATOR = "\0";
const unixSeconds = () => Date.now() / 1000;

/**
 * @typedef {object} Prediction
 * @property {string | number | bigint | null} label class of a classifier
 * @property {number | null} confidence largest probability; NaN if one is not finite
 * @property {Float32Array | Float64Array | null} probabilities of the classes, or scores
 * @property {(string | number | bigint)[] | null} labels classes that a multilabel model gives
 * @property {number | Float32Array | Float64Array | null} value of a regressor
 * @property {{items: string[], scores: number[]} | null} ranked a ranked list, best first
 * @property {Record<string, unknown>} outputs others, by name
 * @property {"pack" | "default"} source
 * @property {string} version of the release that answered
 * @property {number | null} age seconds since it was computed
 */

/**
 * A clock that is never before a moment that is known to be over. One without a battery starts
 * years ago, and would make answers last for ever: it counts from that moment on, until it is set.
 */
function lateClock(clock, earliest) {
  let behind = 0;
  const late = () => {
    const now = clock();
    if (now >= earliest) return now;
    if (now + behind < earliest) behind = earliest - now;
    return now + behind;
  };
  late(); // it counts from now on
  return late;
}

/** A pack of answers by entity. */
export class EntityPredictions {
  /**
   * Open a file, be its time over or not: each look-up asks the clock.
   * @param {ArrayBuffer | Uint8Array} data
   * @param {string} model whose devices it must be for
   * @param {() => number} [clock] gives Unix seconds
   * @throws {PackError}
   */
  static open(data, model, clock = unixSeconds) {
    const wanted = { model, canonicaliser: ENTITY_ANSWERS, now: -1 };
    return new EntityPredictions(Pack.open(data, wanted), clock);
  }

  constructor(pack, clock = unixSeconds) {
    this.pack = pack;
    this.about = pack.header.entities;
    const { fields } = pack.header;
    this._isSeveral = !this.about.top && fields.some(({ role }) => role === "scores");
    this._clock = lateClock(clock, this.about.computedAt);
  }

  /**
   * The precomputed answer of an entity, or the declared default; null if there is neither.
   * @param {string} entity
   * @returns {Prediction | null}
   * @throws {InputError} it is no name
   */
  predict(entity) {
    return this.stored(entity) ?? this.default();
  }

  /** The precomputed answer; null if there is none, or its time is over. */
  stored(entity) {
    const key = entityKey(entity, ENTITY_ANSWERS);
    const { expires } = this.pack.header;
    const now = this._clock();
    if (expires !== null && now >= expires) return null;
    const entry = this.pack.find(key);
    if (entry < 0) return null;
    const answer = this.about.top ? this._ranked(entry) : this._read(entry);
    return { ...this._empty("pack"), ...answer, age: Math.max(0, now - this.about.computedAt) };
  }

  /** The answer that is declared for other entities, or null. */
  default() {
    const { default: answer, defaultItems: items, classes } = this.about;
    const prediction = this._empty("default");
    if (items.length) return { ...prediction, ranked: { items: [...items], scores: [] } };
    if (answer === null) return null;
    if (this._isSeveral) {
      // That class, and no other.
      const scores = Float32Array.from(classes, (name) => (name === answer ? 1 : 0));
      return { ...prediction, probabilities: scores, labels: classes.filter((_, i) => scores[i]) };
    }
    const isLabel = classes.length > 0 || typeof answer === "string";
    return { ...prediction, [isLabel ? "label" : "value"]: answer };
  }

  _empty(source) {
    return {
      ...{ label: null, confidence: null, probabilities: null, labels: null, value: null },
      ...{ ranked: null, outputs: {}, source, version: this.pack.header.version, age: null },
    };
  }

  _ranked(entry) {
    const raw = this.pack.raw(entry, "items");
    let end = raw.length;
    while (end && !raw[end - 1]) end--;
    const joined = new TextDecoder().decode(raw.subarray(0, end));
    const items = joined ? joined.split(SEPARATOR) : [];
    const scores = Array.from(this.pack.value(entry, "scores")).slice(0, items.length);
    return { ranked: { items, scores } };
  }

  _read(entry) {
    const { classes, threshold } = this.about;
    const read = { outputs: Object.create(null) };
    for (const { name, role, items } of this.pack.header.fields) {
      const value = this.pack.value(entry, name);
      if (role === "probabilities") {
        const largest = mostLikely(value);
        read.probabilities = value;
        read.confidence = largest.confidence;
        read.label ??= classes[largest.index];
      } else if (role === "scores") {
        read.probabilities = value;
        read.labels = classes.filter((_, i) => value[i] >= threshold);
      } else if (role === "label") {
        const index = Number(value?.[0] ?? value) % classes.length;
        read.label = classes.at(index); // a negative one counts from the end
      } else if (role === "value") {
        read.value = items === 1 ? Number(value?.[0] ?? value) : value;
      } else {
        read.outputs[name] = value;
      }
    }
    return read;
  }
}

function mostLikely(scores) {
  let index = 0;
  let sum = scores[0];
  for (let i = 1; i < scores.length; i++) {
    sum += scores[i];
    if (scores[i] > scores[index]) index = i;
  }
  return { index, confidence: Number.isFinite(sum) ? scores[index] : NaN };
}

/**
 * @typedef {object} Features
 * @property {Record<string, unknown>} row by column; null is a missing value
 * @property {boolean} isStored false for an entity that has the defaults
 * @property {number | null} age seconds since the oldest value was computed, if the file says so
 * @property {boolean} isStale true if a value is older than its set declares as fresh
 */

/** A pack of features by entity. */
export class EntityFeatures {
  /**
   * @param {ArrayBuffer | Uint8Array} data
   * @param {object} [wanted] as of {@link Pack.open}
   * @throws {PackError}
   */
  static open(data, wanted = {}) {
    return new EntityFeatures(Pack.open(data, { ...wanted, canonicaliser: ENTITY }));
  }

  constructor(pack) {
    this.pack = pack;
  }

  /**
   * The features of an entity, joined with those of the moment, which replace stored ones.
   * @param {string} entity
   * @param {Record<string, unknown>} [streaming]
   * @param {number} [now] Unix seconds
   * @returns {Features}
   * @throws {InputError} it is no name
   * @throws {PackError} the file is damaged where it would be
   */
  lookup(entity, streaming = {}, now = unixSeconds()) {
    const entry = this.pack.find(entityKey(entity, ENTITY));
    if (entry === IN_DAMAGED_BLOCK) {
      // Defaults in place of what is stored would be a wrong answer that nobody sees.
      throw new PackError(`${entity}: its stored features are damaged; fetch the file again`);
    }
    const { defaults, categories } = this.pack.header;
    // Without a prototype: a column may have any name, also "__proto__".
    const row = Object.assign(Object.create(null), defaults);
    for (const [name, value] of Object.entries(entry < 0 ? {} : this.pack.entry(entry))) {
      row[name] = Object.hasOwn(categories, name) ? this._text(name, value) : value;
    }
    const { "@computed_at": computedAt, "@stale_at": staleAt, ...features } = row;
    return {
      row: { ...features, ...streaming },
      isStored: entry >= 0,
      age: computedAt == null ? null : now - Number(computedAt),
      isStale: staleAt != null && now >= staleAt,
    };
  }

  _text(name, index) {
    const text = this.pack.header.categories[name][index];
    if (text === undefined) throw new PackError(`${name}: category ${index} is not in the header`);
    return text;
  }
}

/** Dtypes of columns and of stored values: little-endian bytes to numbers and back. */

/** An IEEE half, by its bits, as a number. */
export function half(bits) {
  const exponent = (bits >> 10) & 31;
  const rest = bits & 1023;
  let size = exponent ? (1024 + rest) * 2 ** (exponent - 25) : rest * 2 ** -24;
  if (exponent === 31) size = rest ? NaN : Infinity;
  return bits >> 15 ? -size : size;
}

/** The bits of the half that is nearest to a number, ties to even. */
export function halfOf(number) {
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const size = Math.abs(number);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  // The exponent of the leading bit plus one, and that of the subnormal ones for those below it.
  let exponent = -13;
  while (size >= 2 ** exponent) exponent++;
  const scaled = size * 2 ** (11 - exponent); // exact
  let mantissa = Math.floor(scaled);
  const dropped = scaled - mantissa;
  if (dropped > 0.5 || (dropped === 0.5 && mantissa % 2)) mantissa++;
  // A mantissa that is rounded up to a power of two runs into the exponent, as it should.
  return sign + (exponent + 13) * 1024 + mantissa;
}

/** A 64-bit integer as a number where that is exact. */
export function plain(big) {
  const number = Number(big);
  return Number.isSafeInteger(number) ? number : big;
}

/**
 * @typedef {object} Dtype
 * @property {number} bytes
 * @property {(view: DataView, at: number) => number | bigint} get
 * @property {(view: DataView, at: number, value: number | bigint) => void} set
 * @property {Function} array what several are given in; halves as the float32 of the same value
 * @property {number | bigint} [least] of an integer
 * @property {number | bigint} [most]
 */

const integer = (bytes, name, array, least, most) => ({
  bytes,
  get: (view, at) => view[`get${name}`](at, true),
  set: (view, at, value) => view[`set${name}`](at, value, true),
  array,
  least,
  most,
});

/** @type {Record<string, Dtype>} */
export const DTYPES = {
  __proto__: null,
  float16: {
    bytes: 2,
    get: (view, at) => half(view.getUint16(at, true)),
    set: (view, at, value) => view.setUint16(at, halfOf(value), true),
    array: Float32Array,
  },
  float32: {
    bytes: 4,
    get: (view, at) => view.getFloat32(at, true),
    set: (view, at, value) => view.setFloat32(at, value, true),
    array: Float32Array,
  },
  float64: {
    bytes: 8,
    get: (view, at) => view.getFloat64(at, true),
    set: (view, at, value) => view.setFloat64(at, value, true),
    array: Float64Array,
  },
  int8: integer(1, "Int8", Int8Array, -128, 127),
  uint8: integer(1, "Uint8", Uint8Array, 0, 255),
  int16: integer(2, "Int16", Int16Array, -32768, 32767),
  int32: integer(4, "Int32", Int32Array, -(2 ** 31), 2 ** 31 - 1),
  int64: integer(8, "BigInt64", BigInt64Array, -(2n ** 63n), 2n ** 63n - 1n),
  bool: {
    bytes: 1,
    get: (view, at) => (view.getUint8(at) ? 1 : 0),
    set: (view, at, value) => view.setUint8(at, value),
    array: Uint8Array,
    least: 0,
    most: 1,
  },
};

export const FLOATS = ["float16", "float32", "float64"];

/** A number as `dtype` has it, rounded once. */
export function rounded(dtype, number) {
  if (dtype === "float16") return half(halfOf(number));
  return dtype === "float32" ? Math.fround(number) : number;
}

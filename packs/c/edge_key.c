#include "edge_key.h"
#include <math.h>
#include <string.h>

/* By edge_dtype; integers have no bits of exponent. */
static const struct { const char *name; uint8_t bytes, exponent; } DTYPES[] = {
    {"", 0, 0}, {"float16", 2, 5}, {"float32", 4, 8}, {"float64", 8, 11}, {"int8", 1, 0},
    {"uint8", 1, 0}, {"int16", 2, 0}, {"int32", 4, 0}, {"int64", 8, 0}, {"bool", 1, 0}};

edge_dtype edge_dtype_of(const char *name)
{
    int dtype = EDGE_BOOL;
    while (dtype && strcmp(DTYPES[dtype].name, name)) dtype--;
    return (edge_dtype)dtype;
}

size_t edge_dtype_bytes(edge_dtype dtype) { return DTYPES[dtype].bytes; }

double edge_half(uint16_t half)
{
    int exponent = half >> 10 & 31, rest = half & 1023;
    double size = exponent ? ldexp(1024 + rest, exponent - 25) : ldexp(rest, -24);
    if (exponent == 31) size = rest ? NAN : INFINITY;
    return half >> 15 ? -size : size;
}

uint16_t edge_half_of(double value)
{
    int exponent, sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value)) return (uint16_t)(sign | 0x7E00);
    if (fabs(value) >= 65520) return (uint16_t)(sign | 0x7C00);
    frexp(value, &exponent);
    if (exponent < -13 || value == 0) exponent = -13; /* subnormal, or 0, of which frexp says 0 */
    /* A mantissa that is rounded up to a power of two runs into the exponent, as it should. */
    int mantissa = (int)nearbyint(ldexp(fabs(value), 11 - exponent));
    return (uint16_t)(sign + (exponent + 13) * 1024 + mantissa);
}

/* --- CRC-32 and SHA-256 ----------------------------------------------------------------------- */

static uint32_t big32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_big32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Four tables, to take four bytes at once. CRC is linear: an entry is the XOR of those of the bits
 * of its index, so that the eight powers of two say all of a table. */
#define BIT(i, n, x) ((i) >> (n) & 1 ? (x) : 0u)
#define AT1(i, a, b, c, d, e, f, g, h)                                                             \
    (BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^     \
     BIT(i, 6, g) ^ BIT(i, 7, h))
#define AT4(i, ...) AT1(i, __VA_ARGS__), AT1(i + 1, __VA_ARGS__), AT1(i + 2, __VA_ARGS__),         \
    AT1(i + 3, __VA_ARGS__)
#define AT16(i, ...) AT4(i, __VA_ARGS__), AT4(i + 4, __VA_ARGS__), AT4(i + 8, __VA_ARGS__),        \
    AT4(i + 12, __VA_ARGS__)
#define AT64(i, ...) AT16(i, __VA_ARGS__), AT16(i + 16, __VA_ARGS__), AT16(i + 32, __VA_ARGS__),   \
    AT16(i + 48, __VA_ARGS__)
#define TABLE(...) {AT64(0, __VA_ARGS__), AT64(64, __VA_ARGS__), AT64(128, __VA_ARGS__),           \
    AT64(192, __VA_ARGS__)}
static const uint32_t CRC[4][256] = {
    TABLE(0x77073096, 0xEE0E612C, 0x076DC419, 0x0EDB8832,
          0x1DB71064, 0x3B6E20C8, 0x76DC4190, 0xEDB88320),
    TABLE(0x191B3141, 0x32366282, 0x646CC504, 0xC8D98A08,
          0x4AC21251, 0x958424A2, 0xF0794F05, 0x3B83984B),
    TABLE(0x01C26A37, 0x0384D46E, 0x0709A8DC, 0x0E1351B8,
          0x1C26A370, 0x384D46E0, 0x709A8DC0, 0xE1351B80),
    TABLE(0xB8BC6765, 0xAA09C88B, 0x8F629757, 0xC5B428EF,
          0x5019579F, 0xA032AF3E, 0x9B14583D, 0xED59B63B)};

uint32_t edge_crc32(uint32_t crc, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    for (crc = ~crc; count >= 4; at += 4, count -= 4) {
        crc ^= at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        crc = CRC[3][crc & 255] ^ CRC[2][crc >> 8 & 255] ^ CRC[1][crc >> 16 & 255] ^
              CRC[0][crc >> 24];
    }
    while (count--) crc = crc >> 8 ^ CRC[0][(crc ^ *at++) & 255];
    return ~crc;
}

static const edge_key SHA256 = {0, {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F,
                                    0x9B05688C, 0x1F83D9AB, 0x5BE0CD19}, 0, {0}, 1};
static const uint32_t K[64] = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2};

static uint32_t rotated(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* Eight rounds of different names of the variables spare eight copies in each. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                           \
    h += (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + (g ^ (e & (f ^ g))) + K[i] + w[i];    \
    d += h;                                                                                        \
    h += (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) | (c & (a | b)))

static void sha256_block(uint32_t *s, const uint8_t *block)
{
    uint32_t w[64], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int i = 0; i < 16; i++) w[i] = big32(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotated(x, 7) ^ rotated(x, 18) ^ x >> 3);
        w[i] += rotated(y, 17) ^ rotated(y, 19) ^ y >> 10;
    }
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

static void feed(edge_key *key, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    size_t used = key->length % 64;
    key->length += count;
    for (; used + count >= 64; used = 0) {
        memcpy(key->block + used, at, 64 - used);
        sha256_block(key->state, key->block);
        at += 64 - used, count -= 64 - used;
    }
    memcpy(key->block + used, at, count);
}

static void finish(edge_key *key, uint8_t *digest, int words)
{
    static const uint8_t PADDING[64] = {0x80};
    uint8_t bits[8];
    put_big32(bits, (uint32_t)(key->length >> 29));
    put_big32(bits + 4, (uint32_t)(key->length << 3));
    feed(key, PADDING, 64 - (key->length + 8) % 64);
    feed(key, bits, 8);
    for (int i = 0; i < words; i++) put_big32(digest + 4 * i, key->state[i]);
}

void edge_sha256(const void *bytes, size_t count, uint8_t digest[32])
{
    edge_key sum = SHA256;
    feed(&sum, bytes, count);
    finish(&sum, digest, 8);
}

/* --- keys ------------------------------------------------------------------------------------- */

int edge_is_utf8(const char *text, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + bytes;
    while (at < end) {
        uint32_t code = *at++;
        if (code < 0x80) continue;
        int more = code < 0xE0 ? 1 : code < 0xF0 ? 2 : 3;
        if (code < 0xC2 || code > 0xF4 || end - at < more) return 0;
        uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        for (code &= 0x3Fu >> more; more--; code = code << 6 | (*at++ & 0x3F))
            if ((*at & 0xC0) != 0x80) return 0;
        if (code < least || code > 0x10FFFF || code >> 11 == 0x1B) return 0; /* 0x1B: surrogates */
    }
    return 1;
}

static void hash(edge_key *key, const void *bytes, size_t count)
{
    key->crc = edge_crc32(key->crc, bytes, count);
    feed(key, bytes, count);
}

void edge_key_begin(edge_key *key, const char *canonicaliser)
{
    *key = SHA256;
    hash(key, canonicaliser, strlen(canonicaliser) + 1);
}

void edge_key_numbers(edge_key *key, edge_dtype dtype, const void *values, size_t count)
{
    size_t bytes = DTYPES[dtype].bytes, used = 0;
    uint64_t sign = bytes ? UINT64_C(1) << (8 * bytes - 1) : 0;
    uint64_t infinity = sign - (sign >> DTYPES[dtype].exponent); /* 0 of integers */
    uint8_t chunk[64] = {0};
    if (!bytes) key->result = EDGE_NO_NAME, count = 0;
    for (const uint8_t *at = values; count--; at += bytes) {
        uint64_t bits;
        uint32_t four;
        uint16_t two;
        if (bytes == 8) memcpy(&bits, at, 8);
        else if (bytes == 4) memcpy(&four, at, 4), bits = four;
        else if (bytes == 2) memcpy(&two, at, 2), bits = two;
        else bits = dtype == EDGE_BOOL ? *at != 0 : *at;
        if (infinity && (bits & infinity) == infinity && key->result > 0) key->result = 0;
        if (infinity && bits == sign) bits = 0; /* -0.0 counts as 0.0 */
        for (size_t i = 0; i < bytes; i++) chunk[used++] = (uint8_t)(bits >> 8 * i);
        if (used == sizeof chunk) hash(key, chunk, used), used = 0;
    }
    hash(key, chunk, used);
}

void edge_key_text(edge_key *key, const char *text, size_t length)
{
    uint8_t bytes[4];
    if (length > UINT32_MAX || !edge_is_utf8(text, length)) key->result = EDGE_NO_NAME;
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(length >> 8 * i);
    hash(key, bytes, 4);
    hash(key, text, length);
}

int edge_key_end(edge_key *key, uint8_t out[EDGE_KEY_BYTES])
{
    put_big32(out, key->crc);
    finish(key, out + 4, 3);
    return key->result;
}

int edge_key_entity(const char *canonicaliser, const char *name, size_t length,
                    uint8_t out[EDGE_KEY_BYTES])
{
    edge_key key;
    if (!length || !edge_is_utf8(name, length)) return EDGE_NO_NAME;
    edge_key_begin(&key, canonicaliser);
    hash(&key, name, length);
    return edge_key_end(&key, out);
}

/* Keys of packs: made of a row of columns, or of the name of an entity (docs/PACK.md, "Keys"). */
#ifndef EDGE_KEY_H
#define EDGE_KEY_H
#include <stddef.h>
#include <stdint.h>

#define EDGE_KEY_BYTES 16
enum { EDGE_NO_NAME = -3 }; /* a text that is not UTF-8; an entity's name that is empty */

/* Dtypes of columns and fields. In C: uint16_t (an IEEE half), float, double, integers of their
 * width, uint8_t for bool. */
typedef enum {
    EDGE_NO_DTYPE, EDGE_FLOAT16, EDGE_FLOAT32, EDGE_FLOAT64, EDGE_INT8, EDGE_UINT8, EDGE_INT16,
    EDGE_INT32, EDGE_INT64, EDGE_BOOL
} edge_dtype;
edge_dtype edge_dtype_of(const char *name); /* "float32"; EDGE_NO_DTYPE for other names */
size_t edge_dtype_bytes(edge_dtype dtype);
double edge_half(uint16_t half);
uint16_t edge_half_of(double value); /* to nearest, ties to even */

/* A key is made of the columns in their order. edge_key_end returns 1; or 0, and there is no key,
 * because a number is NaN or infinite; or EDGE_NO_NAME. A row of one dtype is one call of
 * edge_key_numbers. A missing value of a text column that may lack some is EDGE_MISSING_TEXT. */
#define EDGE_MISSING_TEXT "\x1amissing"
typedef struct { uint32_t crc, state[8]; uint64_t length; uint8_t block[64]; int result; } edge_key;
void edge_key_begin(edge_key *key, const char *canonicaliser);
void edge_key_numbers(edge_key *key, edge_dtype dtype, const void *values, size_t count);
void edge_key_text(edge_key *key, const char *text, size_t length);
int edge_key_end(edge_key *key, uint8_t out[EDGE_KEY_BYTES]);
/* The key of an entity; `canonicaliser` is the pack's. 1 or EDGE_NO_NAME. */
int edge_key_entity(const char *canonicaliser, const char *name, size_t length,
                    uint8_t out[EDGE_KEY_BYTES]);

/* What they are made with. */
uint32_t edge_crc32(uint32_t crc, const void *bytes, size_t count); /* the first: crc = 0 */
void edge_sha256(const void *bytes, size_t count, uint8_t digest[32]);
int edge_is_utf8(const char *text, size_t bytes);
#endif

/* Reader of packs: answers that were computed ahead, in one immutable file (docs/PACK.md).
 *
 * C99 and its library. No byte of a file, however it was made, leads outside of it. Look-ups
 * allocate nothing, and may come from any number of threads at once. */
#ifndef EDGE_PACK_H
#define EDGE_PACK_H
#include "edge_json.h"
#include "edge_key.h"

enum { EDGE_ABSENT = -1, EDGE_DAMAGED = -2 }; /* what look-ups return in place of an entry */

/* A field of the values: an output, or a column of entity features. */
typedef struct {
    const char *name, *role, *dtype, *encoding; /* `encoding` is NULL where there is none */
    edge_dtype read, stored; /* as it is given, and as it is in the file */
    edge_list shape;         /* integers */
    size_t items, begin;     /* product of the shape; offset in a value */
    size_t bytes;            /* of one item, as it is in the file */
    double scale, offset, max_error;
    edge_scalar fallback;    /* of a column: for entities that are not in the file */
    edge_list categories;    /* of a column of text */
} edge_field;

/* An open pack: to read, not to write. */
typedef struct {
    const char *model, *version, *manifest, *canonicaliser, *answered_by, *body;
    int64_t count, expires; /* entries; Unix seconds, INT64_MAX for never */
    edge_field *fields;
    size_t field_count;
    /* Of answers by entity alone: */
    const char *job, *share; /* `share` is NULL for all entities */
    int64_t generation, top;
    double computed_at, threshold;
    edge_scalar fallback; /* for other entities */
    edge_list classes, default_items;
    /* Not for you: */
    const uint8_t *data, *directory, *checks, *filter, *keys, *values;
    size_t length, value_bytes;
    int64_t directory_bits, filter_bits, check_bits;
    int is_mapped, is_features;
    edge_scalar *nodes;
    char *texts;
    volatile uint8_t *blocks; /* whether each is sound, and whether one is not */
} edge_pack;

/* What a pack must be: made for a release (SHA-256 of its manifest.json) or model, with keys of a
 * canonicaliser, not expired at `now` (Unix seconds). NULL and 0 are not compared. */
typedef struct { const char *manifest, *model, *canonicaliser; int64_t now; } edge_wanted;
typedef struct { char text[200]; } edge_error;

/* Open a file, or bytes that stay as they are until it is closed. NULL: `error` says why. */
edge_pack *edge_pack_open(const char *path, const edge_wanted *wanted, edge_error *error);
edge_pack *edge_pack_of(const void *data, size_t length, const edge_wanted *wanted,
                        edge_error *error);
void edge_pack_close(edge_pack *pack);
/* 1 if every byte is sound. Without it each block of the file is checked at its first use. */
int edge_pack_verify(const edge_pack *pack, edge_error *error);
/* 1 if a look-up came upon damage. */
int edge_pack_is_damaged(const edge_pack *pack);

/* The entry of a key, 0 or more; else EDGE_ABSENT or EDGE_DAMAGED. */
int64_t edge_pack_find(const edge_pack *pack, const uint8_t key[EDGE_KEY_BYTES]);
const edge_field *edge_pack_field(const edge_pack *pack, const char *name);
/* Item `index` of an entry's field, of which it has `items`: a flag, an integer or a real. */
edge_scalar edge_pack_value(const edge_pack *pack, int64_t entry, const edge_field *field,
                            size_t index);
/* The same as a double. */
double edge_pack_real(const edge_pack *pack, int64_t entry, const edge_field *field, size_t index);
/* The place of the largest item, and its value, NaN if one is not finite. */
size_t edge_pack_largest(const edge_pack *pack, int64_t entry, const edge_field *field,
                         double *value);
/* A feature of an entry, or of EDGE_ABSENT. EDGE_NULL: a missing value; EDGE_OBJECT: damaged. */
edge_scalar edge_pack_feature(const edge_pack *pack, int64_t entry, const edge_field *field);

/* The answer to an entity at `now` (Unix seconds): returns its entry; or else EDGE_ABSENT or
 * EDGE_DAMAGED, and what is declared for other entities; or EDGE_NO_NAME. What there is none of is
 * EDGE_NULL or NaN. A multilabel model's has no label: it gives the classes of scores from
 * `threshold` on, and to other entities the one that is the label here. */
typedef struct { edge_scalar label, value; double confidence, age; } edge_prediction;
int64_t edge_pack_predict(const edge_pack *pack, const char *entity, size_t length, double now,
                          edge_prediction *out);
/* What `now` is by a clock that may be behind: one without a battery starts years ago, and would
 * make answers last for ever. From the first call on it counts from the moment that they were
 * computed, until it has been set. `behind` is 0 at first, and kept between calls. */
double edge_pack_now(const edge_pack *pack, double clock, double *behind);
/* Write up to `most` items of a ranked list, best first, and return how many there are. Names end
 * without a NUL. Those for other entities, of a negative entry, have no score: NaN. */
typedef struct { const char *name; size_t length; double score; } edge_item;
size_t edge_pack_items(const edge_pack *pack, int64_t entry, edge_item *items, size_t most);
#endif

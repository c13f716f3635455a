#define _POSIX_C_SOURCE 200809L /* for mmap */
#include "edge_pack.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 1
#error "doubles must be rounded at each step: compile with -msse2 -mfpmath=sse"
#endif
#define NEED(fits, ...) do { if (!(fits)) return fail(error, __VA_ARGS__); } while (0)

enum { PREFIX = 20, FORMAT = 5, HEADER_LIMIT = 1 << 20, VALUE_LIMIT = 1 << 30, AXES = 16 };
enum { UNCHECKED, SOUND, BROKEN };
static const edge_scalar NOTHING = {EDGE_NULL, 0, {0}};

static int fail(edge_error *error, const char *form, ...)
{
    va_list more;
    va_start(more, form);
    if (error) vsnprintf(error->text, sizeof error->text, form, more);
    va_end(more);
    return 0;
}

/* Integers are little-endian, at any address; compilers make one load of this. */
static uint32_t little32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* --- the header ------------------------------------------------------------------------------- */

static const edge_scalar *after(const edge_pack *pack, const edge_scalar *node)
{
    return edge_json_after(pack->nodes, node);
}

static const edge_scalar *member(const edge_pack *pack, const edge_scalar *object, const char *name)
{
    const edge_scalar *found = edge_json_member(pack->nodes, object, name);
    return found ? found : &NOTHING;
}

static int read_list(const edge_scalar *found, int kinds, edge_list *list)
{
    if (found->kind == EDGE_NULL) return 1;
    list->at = found + 1, list->count = (size_t)found->as.integer;
    for (size_t i = 0; found->kind == EDGE_ARRAY && i < list->count; i++)
        if (!(kinds >> list->at[i].kind & 1)) return 0;
    return found->kind == EDGE_ARRAY;
}

/* Where members go, and the kinds that they, or the elements of a LIST, may have. One that is
 * missing leaves what was there. */
enum {
    NUL = 1 << EDGE_NULL, FLAG = 1 << EDGE_FLAG, INTEGER = 1 << EDGE_INTEGER,
    REAL = 1 << EDGE_REAL | INTEGER, TEXT = 1 << EDGE_TEXT, LIST = 1 << EDGE_ARRAY,
    SCALAR = NUL | REAL | TEXT
};
typedef struct { const char *name; size_t at; int kinds; } rule;
#define PACK(member, kinds) {#member, offsetof(edge_pack, member), kinds}
#define FIELD(member, kinds) {#member, offsetof(edge_field, member), kinds}
static const rule HEADER[] = {
    PACK(model, TEXT), PACK(version, TEXT), PACK(manifest, TEXT), PACK(canonicaliser, TEXT),
    PACK(body, TEXT), PACK(answered_by, TEXT), PACK(count, INTEGER), PACK(directory_bits, INTEGER),
    PACK(filter_bits, INTEGER), PACK(check_bits, INTEGER | NUL), PACK(expires, INTEGER | NUL),
    {NULL, 0, 0}};
static const rule ENTITIES[] = {
    PACK(job, TEXT), PACK(share, TEXT | NUL), PACK(generation, INTEGER), PACK(computed_at, REAL),
    PACK(top, INTEGER | NUL), PACK(threshold, REAL | NUL), PACK(classes, LIST | INTEGER | TEXT),
    PACK(default_items, LIST | TEXT), {"default", offsetof(edge_pack, fallback), SCALAR},
    {NULL, 0, 0}};
static const rule FIELDS[] = {
    FIELD(name, TEXT), FIELD(role, TEXT), FIELD(dtype, TEXT), FIELD(encoding, TEXT | NUL),
    FIELD(scale, REAL | NUL), FIELD(offset, REAL | NUL), FIELD(max_error, REAL | NUL),
    FIELD(shape, LIST | INTEGER), {NULL, 0, 0}};

static int read_members(const edge_pack *pack, const edge_scalar *object, const rule *rules,
                        void *into, edge_error *error)
{
    for (; rules->name; rules++) {
        const edge_scalar *found = member(pack, object, rules->name);
        void *at = (char *)into + rules->at;
        int is_list = rules->kinds & LIST;
        NEED(is_list ? read_list(found, rules->kinds ^ LIST, at) : rules->kinds >> found->kind & 1,
             "%s in the header: expected another kind of value", rules->name);
        if (rules->kinds == SCALAR) *(edge_scalar *)at = *found;
        else if (is_list || found->kind == EDGE_NULL) continue;
        else if (rules->kinds & TEXT) *(const char **)at = found->as.text;
        else if (found->kind == EDGE_REAL) *(double *)at = found->as.real;
        else if (rules->kinds & (REAL ^ INTEGER)) *(double *)at = (double)found->as.integer;
        else *(int64_t *)at = found->as.integer;
    }
    return 1;
}

/* --- opening ---------------------------------------------------------------------------------- */

const edge_field *edge_pack_field(const edge_pack *pack, const char *name)
{
    for (size_t i = 0; i < pack->field_count; i++)
        if (!strcmp(pack->fields[i].name, name)) return &pack->fields[i];
    return NULL;
}

static int read_field(edge_pack *pack, const edge_scalar *object, edge_error *error)
{
    edge_field *field = &pack->fields[pack->field_count];
    field->scale = field->offset = NAN, field->items = 1, field->begin = pack->value_bytes;
    if (!read_members(pack, object, FIELDS, field, error)) return 0;
    field->read = edge_dtype_of(field->dtype);
    field->stored = field->encoding ? edge_dtype_of(field->encoding) : field->read;
    int is_coded = field->encoding && field->stored == EDGE_UINT8;
    int is_half = field->encoding && field->stored == EDGE_FLOAT16;
    NEED(!edge_pack_field(pack, field->name), "fields: expected one %s, got two", field->name);
    NEED(field->read, "%s: expected a dtype, got %s", field->name, field->dtype);
    NEED(!field->encoding || ((is_coded || is_half) && field->read <= EDGE_FLOAT64),
         "%s: expected the encoding float16 or uint8, of floats", field->name);
    NEED(is_coded == !isnan(field->scale) && is_coded == !isnan(field->offset) &&
         field->max_error >= 0, "%s: expected scale and offset of uint8 alone", field->name);
    for (size_t i = 0; i < field->shape.count; i++) {
        int64_t n = field->shape.at[i].as.integer;
        NEED(n > 0 && (uint64_t)n <= VALUE_LIMIT / field->items && field->shape.count <= AXES,
             "%s: expected up to %d sizes of 1 or more, of 2^30 bytes", field->name, AXES);
        field->items *= (size_t)n;
    }
    field->bytes = edge_dtype_bytes(field->stored);
    NEED(field->items <= (VALUE_LIMIT - pack->value_bytes) / field->bytes,
         "fields: expected values of up to 2^30 bytes");
    pack->value_bytes += field->items * field->bytes;
    return ++pack->field_count, 1;
}

static int read_columns(edge_pack *pack, const edge_scalar *root, edge_error *error)
{
    const edge_scalar *defaults = member(pack, root, "defaults");
    const edge_scalar *categories = member(pack, root, "categories");
    int64_t columns = 0, texts = 0;
    for (size_t i = 0; i < pack->field_count; i++) {
        edge_field *field = &pack->fields[i];
        const edge_scalar *fallback = member(pack, defaults, field->name);
        const edge_scalar *names = member(pack, categories, field->name);
        columns += fallback != &NOTHING, texts += names != &NOTHING, field->fallback = *fallback;
        NEED(fallback->kind < EDGE_ARRAY && read_list(names, TEXT, &field->categories) &&
             (names == &NOTHING || (field->read > EDGE_FLOAT64 && field->read < EDGE_BOOL)) &&
             !(pack->is_features && field->shape.count),
             "%s: expected one value with a default, and categories of an integer", field->name);
    }
    int kinds = 1 << defaults->kind | 1 << categories->kind;
    NEED(!(kinds & ~(NUL | 1 << EDGE_OBJECT)) && columns == defaults->as.integer &&
         columns == (pack->is_features ? (int64_t)pack->field_count : 0) && texts <= columns &&
         texts == categories->as.integer, "defaults, categories: expected those of the columns");
    return 1;
}

static int read_entities(edge_pack *pack, const edge_scalar *about, edge_error *error)
{
    pack->threshold = 0.5;
    if (!read_members(pack, about, ENTITIES, pack, error)) return 0;
    NEED(pack->generation >= 0 && pack->computed_at >= 0 && pack->top >= 0,
         "entities: expected a generation, a moment and a length of lists of 0 or more");
    const edge_field *items = edge_pack_field(pack, "items"), *at = pack->fields;
    const edge_field *scores = edge_pack_field(pack, "scores");
    NEED(!pack->top || (items && items->read == EDGE_UINT8 && items->shape.count == 1 && scores &&
                        scores->read <= EDGE_FLOAT64 && scores->shape.count == 1 &&
                        !scores->encoding), "fields: expected items and scores of a ranked list");
    for (; !pack->top && at < pack->fields + pack->field_count; at++) {
        int is_several = !strcmp(at->role, "scores"), is_label = !strcmp(at->role, "label");
        int is_scored = is_several || !strcmp(at->role, "probabilities");
        int is_whole = at->read > EDGE_FLOAT64 && at->read < EDGE_BOOL;
        NEED(!is_scored || (at->shape.count == 1 && at->items == pack->classes.count &&
                            at->read <= EDGE_FLOAT64),
             "%s: expected one for each of %u classes", at->name, (unsigned)pack->classes.count);
        NEED(!is_label || (pack->classes.count && !at->shape.count && is_whole),
             "%s: expected the index of a class", at->name);
    }
    return 1;
}

static int read_header(edge_pack *pack, const char *text, size_t bytes, edge_error *error)
{
    pack->nodes = malloc((bytes / 2 + 1) * sizeof *pack->nodes), pack->texts = malloc(bytes + 1);
    NEED(pack->nodes && pack->texts, "expected memory for a header of %u bytes", (unsigned)bytes);
    NEED(edge_is_utf8(text, bytes) && edge_json_parse(text, bytes, pack->nodes, pack->texts) &&
         pack->nodes->kind == EDGE_OBJECT, "the header: expected an object of JSON");
    const edge_scalar *root = pack->nodes, *fields = member(pack, root, "fields");
    const edge_scalar *about = member(pack, root, "entities");
    pack->expires = INT64_MAX;
    if (!read_members(pack, root, HEADER, pack, error)) return 0;
    pack->is_features = !strcmp(pack->canonicaliser, "entity-v1");
    int is_predictions = !strcmp(pack->canonicaliser, "entity-answers-v1");
    NEED(strlen(pack->manifest) == 64 && strlen(pack->body) == 64, "manifest: expected a SHA-256");
    NEED(pack->expires == INT64_MAX || (pack->expires >= 0 && pack->expires <= (int64_t)1 << 33),
         "expires: expected Unix seconds, up to 2^33");
    NEED(pack->count >= 0 && pack->directory_bits >= 0 && pack->directory_bits <= 24 &&
         pack->filter_bits >= 0 && pack->filter_bits <= 29 && pack->check_bits >= 0 &&
         pack->check_bits <= pack->directory_bits, "count, bits: expected 0 to their limits");
    NEED(fields->kind == EDGE_ARRAY && fields->as.integer, "fields: expected at least one");
    pack->fields = calloc((size_t)fields->as.integer, sizeof *pack->fields);
    NEED(pack->fields, "expected memory for %d fields", (int)fields->as.integer);
    for (const edge_scalar *at = fields + 1; at < after(pack, fields); at = after(pack, at))
        if (!read_field(pack, at, error)) return 0;
    NEED(is_predictions == (about->kind != EDGE_NULL), "entities: expected of answers by entity");
    if (is_predictions && !read_entities(pack, about, error)) return 0;
    return read_columns(pack, root, error);
}

static int lay_out(edge_pack *pack, edge_error *error)
{
    const uint8_t *data = pack->data, **sections[] = {
        &pack->directory, &pack->checks, &pack->filter, &pack->keys, &pack->values};
    NEED(pack->length >= PREFIX && !memcmp(data, "EDGEPACK", 8), "not a pack file (wrong magic)");
    NEED(little32(data + 8) == FORMAT, "expected format %d, got another", FORMAT);
    uint64_t bytes = little32(data + 12), at = (PREFIX + bytes + 63) / 64 * 64;
    NEED(bytes <= HEADER_LIMIT && PREFIX + bytes <= pack->length, "the header is truncated");
    NEED(edge_crc32(0, data + PREFIX, (size_t)bytes) == little32(data + 16),
         "the header is damaged (CRC-32 differs)");
    if (!read_header(pack, (const char *)data + PREFIX, (size_t)bytes, error)) return 0;
    uint64_t count = (uint64_t)pack->count, most = count ? pack->length / count : UINT64_MAX;
    const uint64_t sizes[] = {
        ((UINT64_C(1) << pack->directory_bits) + 1) * 4, UINT64_C(4) << pack->check_bits,
        UINT64_C(1) << pack->filter_bits, count * 16, count * pack->value_bytes};
    int i = most >= 16 && most >= pack->value_bytes ? 0 : 5; /* 5: the sizes may have overflowed */
    for (; i < 5 && at <= pack->length; at = (at + sizes[i++] + 63) / 64 * 64)
        *sections[i] = data + at;
    NEED(i == 5 && at == pack->length && pack->values, "expected another length: it is truncated");
    pack->blocks = calloc(((size_t)1 << pack->check_bits) + 1, 1);
    NEED(pack->blocks, "expected memory for 2^%d blocks", (int)pack->check_bits);
    return 1;
}

static int is_wanted(const edge_pack *pack, const edge_wanted *wanted, edge_error *error)
{
    NEED(!wanted->manifest || !strcmp(wanted->manifest, pack->manifest),
         "made for the release %.64s %s (%.12s…), expected %.12s…", pack->model, pack->version,
         pack->manifest, wanted->manifest);
    NEED(!wanted->model || !strcmp(wanted->model, pack->model), "made for %.64s, expected %.64s",
         pack->model, wanted->model);
    NEED(!wanted->canonicaliser || !strcmp(wanted->canonicaliser, pack->canonicaliser),
         "keys of %.64s, expected %.64s", pack->canonicaliser, wanted->canonicaliser);
    NEED(wanted->now < pack->expires, "expired at %lld (Unix seconds)", (long long)pack->expires);
    return 1;
}

edge_pack *edge_pack_of(const void *data, size_t length, const edge_wanted *wanted,
                        edge_error *error)
{
    edge_pack *pack = calloc(1, sizeof *pack);
    if (!pack) return fail(error, "expected memory for a pack"), NULL;
    pack->data = data, pack->length = length;
    if (lay_out(pack, error) && (!wanted || is_wanted(pack, wanted, error))) return pack;
    edge_pack_close(pack);
    return NULL;
}

edge_pack *edge_pack_open(const char *path, const edge_wanted *wanted, edge_error *error)
{
#ifdef MAP_PRIVATE
    struct stat about;
    int file = open(path, O_RDONLY);
    int is_full = file >= 0 && !fstat(file, &about) && about.st_size > 0;
    size_t length = is_full && (uint64_t)about.st_size <= SIZE_MAX ? (size_t)about.st_size : 0;
    void *data = length ? mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0) : MAP_FAILED;
    const char *why = is_full || file < 0 ? strerror(errno) : "it is empty";
    if (data == MAP_FAILED) fail(error, "cannot map it; %.99s", why);
    if (file >= 0) close(file);
    edge_pack *pack = data == MAP_FAILED ? NULL : edge_pack_of(data, length, wanted, error);
    if (pack) pack->is_mapped = 1;
    else if (data != MAP_FAILED) munmap(data, length);
    return pack;
#else
    (void)path, (void)wanted, fail(error, "map the file yourself here, and use edge_pack_of");
    return NULL;
#endif
}

void edge_pack_close(edge_pack *pack)
{
    if (!pack) return;
#ifdef MAP_PRIVATE
    if (pack->is_mapped) munmap((void *)(uintptr_t)pack->data, pack->length);
#endif
    free(pack->nodes), free(pack->texts), free(pack->fields);
    free((void *)(uintptr_t)pack->blocks), free(pack);
}

/* --- looking up ------------------------------------------------------------------------------- */

/* The top bits; a shift of 32 bits by 32 would be undefined. */
static size_t top(uint32_t check, int64_t bits) { return (size_t)((uint64_t)check >> (32 - bits)); }

static int is_sound(const edge_pack *pack, size_t block)
{
    if (pack->blocks[block] == UNCHECKED) { /* two threads may do this at once, and find the same */
        size_t edges = (size_t)4 << (pack->directory_bits - pack->check_bits);
        const uint8_t *at = pack->directory + block * edges;
        size_t first = little32(at), end = little32(at + edges);
        size_t bytes = pack->value_bytes, fits = end <= (size_t)pack->count;
        /* A lie with a true checksum: what is found between two edges must be an entry. */
        for (size_t i = 0; i < edges; i += 4) fits &= little32(at + i) <= little32(at + i + 4);
        uint32_t crc = edge_crc32(0, at, edges + 4);
        if (fits) crc = edge_crc32(crc, pack->keys + 16 * first, 16 * (end - first));
        if (fits) crc = edge_crc32(crc, pack->values + bytes * first, bytes * (end - first));
        fits = fits && crc == little32(pack->checks + 4 * block);
        if (!fits) pack->blocks[(size_t)1 << pack->check_bits] = BROKEN;
        pack->blocks[block] = fits ? SOUND : BROKEN;
    }
    return pack->blocks[block] == SOUND;
}

int edge_pack_is_damaged(const edge_pack *pack)
{
    return pack->blocks[(size_t)1 << pack->check_bits] == BROKEN;
}

int64_t edge_pack_find(const edge_pack *pack, const uint8_t key[EDGE_KEY_BYTES])
{
    uint32_t check = (uint32_t)key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3];
    int may_be_there = pack->filter[top(check, pack->filter_bits)] >> (check & 7) & 1;
    /* The filter has no checksum: a bit lost there must not put defaults in place of features. */
    if (!may_be_there && !pack->is_features) return EDGE_ABSENT;
    if (!is_sound(pack, top(check, pack->check_bits))) return EDGE_DAMAGED;
    const uint8_t *bucket = pack->directory + 4 * top(check, pack->directory_bits);
    int64_t entry = little32(bucket), end = little32(bucket + 4);
    while (entry < end && memcmp(pack->keys + 16 * entry, key, 16)) entry++;
    return entry < end ? entry : EDGE_ABSENT;
}

int edge_pack_verify(const edge_pack *pack, edge_error *error)
{
    uint8_t digest[32];
    char text[65];
    edge_sha256(pack->directory, pack->length - (size_t)(pack->directory - pack->data), digest);
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    NEED(!strcmp(text, pack->body), "the content is damaged (SHA-256 differs)");
    for (int64_t i = 0; i < pack->count; i++) {
        const uint8_t *key = pack->keys + 16 * i;
        NEED((!i || memcmp(key - 16, key, 16) < 0) && edge_pack_find(pack, key) == i,
             "entry %lld is not where directory, filter and checks have it", (long long)i);
    }
    return 1;
}

edge_scalar edge_pack_value(const edge_pack *pack, int64_t entry, const edge_field *field,
                            size_t index)
{
    edge_scalar value = NOTHING;
    if (entry < 0 || entry >= pack->count || index >= field->items) return value;
    size_t bytes = field->bytes;
    const uint8_t *at = pack->values + pack->value_bytes * (size_t)entry + field->begin;
    at += bytes * index;
    uint32_t low = bytes >= 4 ? little32(at) : bytes == 2 ? at[0] | (uint32_t)at[1] << 8 : at[0];
    uint64_t bits = bytes == 8 ? (uint64_t)little32(at + 4) << 32 | low : low;
    float single;
    value.kind = field->read <= EDGE_FLOAT64 ? EDGE_REAL : EDGE_INTEGER;
    if (field->read == EDGE_BOOL) value.kind = EDGE_FLAG;
    switch (field->stored) {
    case EDGE_FLOAT16: value.as.real = edge_half((uint16_t)low); break;
    case EDGE_FLOAT32: memcpy(&single, &low, 4), value.as.real = single; break;
    case EDGE_FLOAT64: memcpy(&value.as.real, &bits, 8); break;
    case EDGE_BOOL: value.as.integer = bits != 0; break;
    case EDGE_INT8: value.as.integer = (int8_t)bits; break;
    case EDGE_INT16: value.as.integer = (int16_t)bits; break;
    case EDGE_INT32: value.as.integer = (int32_t)bits; break;
    default: value.as.integer = (int64_t)bits;
    }
    if (!field->encoding || field->stored != EDGE_UINT8) return value;
    volatile double product = field->scale * (double)bits; /* not fused with the sum */
    value.as.real = field->offset + product;
    if (field->read == EDGE_FLOAT32) value.as.real = (float)value.as.real;
    if (field->read == EDGE_FLOAT16) value.as.real = edge_half(edge_half_of(value.as.real));
    return value;
}

double edge_pack_real(const edge_pack *pack, int64_t entry, const edge_field *field, size_t index)
{
    if (field->stored == EDGE_FLOAT32 && (uint64_t)entry < (uint64_t)pack->count &&
        index < field->items) { /* as most are; a third quicker */
        const uint8_t *at = pack->values + pack->value_bytes * (size_t)entry + field->begin;
        uint32_t bits = little32(at + 4 * index);
        float single;
        memcpy(&single, &bits, 4);
        return single;
    }
    edge_scalar value = edge_pack_value(pack, entry, field, index);
    if (value.kind == EDGE_REAL) return value.as.real;
    return value.kind == EDGE_NULL ? NAN : (double)value.as.integer;
}

size_t edge_pack_largest(const edge_pack *pack, int64_t entry, const edge_field *field,
                         double *value)
{
    size_t best = 0;
    double largest = edge_pack_real(pack, entry, field, 0), sum = largest;
    for (size_t i = 1; i < field->items; i++) {
        double each = edge_pack_real(pack, entry, field, i);
        sum += each;
        if (each > largest) best = i, largest = each;
    }
    *value = isfinite(sum) ? largest : NAN;
    return best;
}

edge_scalar edge_pack_feature(const edge_pack *pack, int64_t entry, const edge_field *field)
{
    if (entry == EDGE_ABSENT) return field->fallback;
    edge_scalar value = edge_pack_value(pack, entry, field, 0);
    const edge_list *texts = &field->categories;
    if (texts->at && (value.as.integer < 0 || (uint64_t)value.as.integer >= texts->count))
        value = NOTHING;
    if (value.kind == EDGE_NULL) value.kind = EDGE_OBJECT;
    else if (texts->at) value = texts->at[value.as.integer];
    return value;
}

double edge_pack_now(const edge_pack *pack, double clock, double *behind)
{
    if (clock >= pack->computed_at) return clock;
    if (clock + *behind < pack->computed_at) *behind = pack->computed_at - clock;
    return clock + *behind;
}

int64_t edge_pack_predict(const edge_pack *pack, const char *entity, size_t length, double now,
                          edge_prediction *out)
{
    uint8_t key[EDGE_KEY_BYTES];
    int64_t entry = EDGE_ABSENT, classes = (int64_t)pack->classes.count;
    *out = (edge_prediction){NOTHING, NOTHING, NAN, NAN};
    if (edge_key_entity(pack->canonicaliser, entity, length, key) < 0) return EDGE_NO_NAME;
    if (now < pack->computed_at) now = pack->computed_at;
    if (pack->job && now < (double)pack->expires) entry = edge_pack_find(pack, key);
    if (entry < 0) {
        int is_label = classes || pack->fallback.kind == EDGE_TEXT;
        if (!pack->default_items.count) *(is_label ? &out->label : &out->value) = pack->fallback;
        return entry;
    }
    out->age = now - pack->computed_at;
    for (size_t i = 0; !pack->top && i < pack->field_count; i++) {
        const edge_field *field = &pack->fields[i];
        if (!strcmp(field->role, "probabilities")) {
            size_t likeliest = edge_pack_largest(pack, entry, field, &out->confidence);
            if (out->label.kind == EDGE_NULL) out->label = pack->classes.at[likeliest];
        } else if (!strcmp(field->role, "label")) {
            int64_t index = edge_pack_value(pack, entry, field, 0).as.integer % classes;
            out->label = pack->classes.at[index < 0 ? index + classes : index];
        } else if (!strcmp(field->role, "value") && field->items == 1)
            out->value = edge_pack_value(pack, entry, field, 0);
    }
    return entry;
}

size_t edge_pack_items(const edge_pack *pack, int64_t entry, edge_item *items, size_t most)
{
    size_t n = 0;
    for (; entry < 0 && n < pack->default_items.count; n++) {
        const edge_scalar *item = &pack->default_items.at[n];
        if (n < most) items[n] = (edge_item){item->as.text, item->length, NAN};
    }
    if (entry < 0 || entry >= pack->count || !pack->top) return n;
    const edge_field *names = edge_pack_field(pack, "items");
    const edge_field *scores = edge_pack_field(pack, "scores");
    const uint8_t *value = pack->values + pack->value_bytes * (size_t)entry;
    const char *at = (const char *)value + names->begin, *end = at + names->items, *stop;
    while (end > at && !end[-1]) end--;
    for (; at < end; at = stop + 1, n++) {
        stop = memchr(at, 0, (size_t)(end - at));
        if (!stop) stop = end;
        double score = edge_pack_real(pack, entry, scores, n);
        if (n < most) items[n] = (edge_item){at, (size_t)(stop - at), score};
    }
    return n;
}

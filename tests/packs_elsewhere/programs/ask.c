/* What the tests ask the C reader; programs/ask.mjs answers the same from JavaScript.
 *
 * ask describe PACK            the header as JSON
 * ask look-up PACK             keys on stdin, 16 bytes each; an entry (int64) for each on stdout, and
 *                              if it is 0 or more the items of all fields: int64, or double if it is
 *                              of floats
 * ask rows CANONICALISER DTYPE…  rows on stdin: numbers little-endian, texts after their u32 length;
 *                              a status byte and 16 bytes of key for each
 * ask predict PACK NOW         names on stdin after their u32 length; a line of JSON for each
 * ask features PACK NOW        the same
 * ask verify PACK */
#include "edge_pack.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_text(const char *text, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\' || c < 0x20) printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void print_real(double real)
{
    if (isfinite(real)) printf("%.17g", real);
    else printf(isnan(real) ? "NaN" : real > 0 ? "Infinity" : "-Infinity");
}

static void print_scalar(edge_scalar value)
{
    if (value.kind == EDGE_TEXT) print_text(value.as.text, value.length);
    else if (value.kind == EDGE_REAL) print_real(value.as.real);
    else if (value.kind == EDGE_INTEGER) printf("%" PRId64, value.as.integer);
    else if (value.kind == EDGE_FLAG) printf(value.as.integer ? "true" : "false");
    else printf(value.kind == EDGE_NULL ? "null" : "\"damaged\"");
}

static void print_list(edge_list list)
{
    putchar('[');
    for (size_t i = 0; i < list.count; i++) {
        if (i) putchar(',');
        print_scalar(list.at[i]);
    }
    putchar(']');
}

static void print_named(const char *name, const char *text)
{
    printf("\"%s\":", name);
    if (text) print_text(text, strlen(text));
    else printf("null");
    putchar(',');
}

static void describe(const edge_pack *pack)
{
    putchar('{');
    print_named("model", pack->model), print_named("version", pack->version);
    print_named("manifest", pack->manifest), print_named("canonicaliser", pack->canonicaliser);
    print_named("answered_by", pack->answered_by), print_named("body", pack->body);
    printf("\"count\":%" PRId64 ",\"expires\":", pack->count);
    if (pack->expires == INT64_MAX) printf("null");
    else printf("%" PRId64, pack->expires);
    printf(",\"fields\":[");
    for (size_t i = 0; i < pack->field_count; i++) {
        const edge_field *field = &pack->fields[i];
        printf(i ? ",{" : "{");
        print_named("name", field->name), print_named("role", field->role);
        print_named("dtype", field->dtype), print_named("encoding", field->encoding);
        printf("\"max_error\":%.17g,\"default\":", field->max_error);
        print_scalar(field->fallback);
        printf(",\"shape\":"), print_list(field->shape);
        printf(",\"categories\":"), print_list(field->categories);
        putchar('}');
    }
    printf("],\"entities\":");
    if (pack->job) {
        putchar('{');
        print_named("job", pack->job), print_named("share", pack->share);
        printf("\"generation\":%" PRId64 ",\"top\":%" PRId64, pack->generation, pack->top);
        printf(",\"computed_at\":%.17g,\"threshold\":%.17g", pack->computed_at, pack->threshold);
        printf(",\"default\":"), print_scalar(pack->fallback);
        printf(",\"classes\":"), print_list(pack->classes);
        printf(",\"default_items\":"), print_list(pack->default_items);
        putchar('}');
    } else printf("null");
    printf("}\n");
}

static void look_up(const edge_pack *pack)
{
    uint8_t key[EDGE_KEY_BYTES];
    while (fread(key, sizeof key, 1, stdin)) {
        int64_t entry = edge_pack_find(pack, key);
        fwrite(&entry, sizeof entry, 1, stdout);
        for (size_t i = 0; entry >= 0 && i < pack->field_count; i++)
            for (size_t k = 0; k < pack->fields[i].items; k++) {
                edge_scalar value = edge_pack_value(pack, entry, &pack->fields[i], k);
                fwrite(&value.as, sizeof value.as, 1, stdout);
            }
    }
}

static char *read_text(size_t *length)
{
    uint32_t bytes;
    if (!fread(&bytes, sizeof bytes, 1, stdin)) return NULL;
    char *text = malloc(bytes ? bytes : 1); /* no byte more: reading on would be found */
    *length = bytes;
    if (fread(text, 1, bytes, stdin) != bytes) exit(2);
    return text;
}

static void rows(const char *canonicaliser, char **dtypes, int count)
{
    for (;;) {
        edge_key key;
        uint8_t out[1 + EDGE_KEY_BYTES];
        edge_key_begin(&key, canonicaliser);
        for (int i = 0; i < count; i++) {
            edge_dtype dtype = edge_dtype_of(dtypes[i]);
            if (dtype) {
                uint64_t number;
                if (!fread(&number, edge_dtype_bytes(dtype), 1, stdin)) return;
                edge_key_numbers(&key, dtype, &number, 1);
            } else {
                size_t length;
                char *text = read_text(&length);
                if (!text) return;
                edge_key_text(&key, text, length);
                free(text);
            }
        }
        out[0] = (uint8_t)edge_key_end(&key, out + 1);
        fwrite(out, sizeof out, 1, stdout);
    }
}

static void predict(const edge_pack *pack, double now)
{
    char *name;
    size_t length;
    while ((name = read_text(&length))) {
        edge_prediction answer;
        int64_t entry = edge_pack_predict(pack, name, length, now, &answer);
        size_t count = edge_pack_items(pack, entry, NULL, 0);
        edge_item *items = malloc((count ? count : 1) * sizeof *items);
        edge_pack_items(pack, entry, items, count);
        printf("{\"entry\":%" PRId64 ",\"label\":", entry), print_scalar(answer.label);
        printf(",\"value\":"), print_scalar(answer.value);
        printf(",\"confidence\":"), print_real(answer.confidence);
        printf(",\"age\":"), print_real(answer.age);
        printf(",\"items\":[");
        for (size_t i = 0; i < count; i++) {
            if (i) putchar(',');
            print_text(items[i].name, items[i].length);
        }
        printf("],\"scores\":[");
        for (size_t i = 0; i < count; i++) {
            if (i) putchar(',');
            print_real(items[i].score);
        }
        printf("]}\n");
        free(items), free(name);
    }
}

static void features(const edge_pack *pack)
{
    char *name;
    size_t length;
    while ((name = read_text(&length))) {
        uint8_t key[EDGE_KEY_BYTES];
        if (edge_key_entity(pack->canonicaliser, name, length, key) < 0) {
            printf("{\"entry\":%d}\n", EDGE_NO_NAME);
            free(name);
            continue;
        }
        int64_t entry = edge_pack_find(pack, key);
        printf("{\"entry\":%" PRId64, entry);
        for (size_t i = 0; i < pack->field_count; i++) {
            putchar(','), print_text(pack->fields[i].name, strlen(pack->fields[i].name)), putchar(':');
            print_scalar(edge_pack_feature(pack, entry, &pack->fields[i]));
        }
        printf("}\n");
        free(name);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    if (!strcmp(argv[1], "rows")) return rows(argv[2], argv + 3, argc - 3), 0;
    edge_error error;
    edge_wanted wanted = {NULL, NULL, NULL, 0};
    if (!strcmp(argv[1], "predict")) wanted.model = argv[4];
    if (!strcmp(argv[1], "describe")) {
        wanted.now = strtoll(argv[3], NULL, 10);
        if (argc == 6) wanted.manifest = argv[4], wanted.canonicaliser = argv[5];
    }
    edge_pack *pack = edge_pack_open(argv[2], &wanted, &error);
    if (!pack) return printf("{\"error\":"), print_text(error.text, strlen(error.text)), printf("}\n"), 1;
    double now = argc > 3 ? strtod(argv[3], NULL) : 0;
    int sound = 1;
    if (!strcmp(argv[1], "describe")) describe(pack);
    else if (!strcmp(argv[1], "look-up")) look_up(pack);
    else if (!strcmp(argv[1], "predict")) predict(pack, now);
    else if (!strcmp(argv[1], "features")) features(pack);
    else sound = edge_pack_verify(pack, &error), printf("%s\n", sound ? "sound" : error.text);
    edge_pack_close(pack);
    return !sound;
}

/* What the tests ask the C reader; programs/ask.mjs answers the same from JavaScript.
 *
 * A question on stdin is the number of its words, each word after its length, and bytes after their
 * length; an answer on stdout is bytes after their length. All integers are of 32 bits.
 *
 * describe PACK NOW [MANIFEST CANONICALISER]   the header as JSON
 * look-up PACK                keys, 16 bytes each; for each an entry (int64), and if it is 0 or more
 *                             the items of all fields: int64, or doubles of floats
 * rows CANONICALISER DTYPE…   rows: numbers little-endian, texts after their length; for each a byte
 *                             of status and 16 of the key
 * predict PACK NOW MODEL      names after their length; a line of JSON for each
 * features PACK NOW           the same
 * verify PACK
 * halves NONE                 doubles; for each the half (16 bits), and that as a double */
#define _POSIX_C_SOURCE 200809L
#include "edge_pack.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *in, *in_end; /* what is left of the bytes that were given */
static FILE *out;

static int get(void *into, size_t bytes)
{
    if ((size_t)(in_end - in) < bytes) return 0;
    memcpy(into, in, bytes), in += bytes;
    return 1;
}

static void print_text(const char *text, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\' || c < 0x20) fprintf(out, "\\u%04x", c);
        else fputc(c, out);
    }
    fputc('"', out);
}

static void print_real(double real)
{
    if (isfinite(real)) fprintf(out, "%.17g", real);
    else fprintf(out, isnan(real) ? "NaN" : real > 0 ? "Infinity" : "-Infinity");
}

static void print_scalar(edge_scalar value)
{
    if (value.kind == EDGE_TEXT) print_text(value.as.text, value.length);
    else if (value.kind == EDGE_REAL) print_real(value.as.real);
    else if (value.kind == EDGE_INTEGER) fprintf(out, "%" PRId64, value.as.integer);
    else if (value.kind == EDGE_FLAG) fprintf(out, value.as.integer ? "true" : "false");
    else fprintf(out, value.kind == EDGE_NULL ? "null" : "\"damaged\"");
}

static void print_list(edge_list list)
{
    fputc('[', out);
    for (size_t i = 0; i < list.count; i++) {
        if (i) fputc(',', out);
        print_scalar(list.at[i]);
    }
    fputc(']', out);
}

static void print_named(const char *name, const char *text)
{
    fprintf(out, "\"%s\":", name);
    if (text) print_text(text, strlen(text));
    else fprintf(out, "null");
    fputc(',', out);
}

static void describe(const edge_pack *pack)
{
    fputc('{', out);
    print_named("model", pack->model), print_named("version", pack->version);
    print_named("manifest", pack->manifest), print_named("canonicaliser", pack->canonicaliser);
    print_named("answered_by", pack->answered_by), print_named("body", pack->body);
    fprintf(out, "\"count\":%" PRId64 ",\"expires\":", pack->count);
    if (pack->expires == INT64_MAX) fprintf(out, "null");
    else fprintf(out, "%" PRId64, pack->expires);
    fprintf(out, ",\"fields\":[");
    for (size_t i = 0; i < pack->field_count; i++) {
        const edge_field *field = &pack->fields[i];
        fprintf(out, i ? ",{" : "{");
        print_named("name", field->name), print_named("role", field->role);
        print_named("dtype", field->dtype), print_named("encoding", field->encoding);
        fprintf(out, "\"max_error\":%.17g,\"default\":", field->max_error);
        print_scalar(field->fallback);
        fprintf(out, ",\"shape\":"), print_list(field->shape);
        fprintf(out, ",\"categories\":"), print_list(field->categories);
        fputc('}', out);
    }
    fprintf(out, "],\"entities\":");
    if (pack->job) {
        fputc('{', out);
        print_named("job", pack->job), print_named("share", pack->share);
        fprintf(out, "\"generation\":%" PRId64 ",\"top\":%" PRId64, pack->generation, pack->top);
        fprintf(out, ",\"computed_at\":%.17g,\"threshold\":%.17g", pack->computed_at, pack->threshold);
        fprintf(out, ",\"default\":"), print_scalar(pack->fallback);
        fprintf(out, ",\"classes\":"), print_list(pack->classes);
        fprintf(out, ",\"default_items\":"), print_list(pack->default_items);
        fputc('}', out);
    } else fprintf(out, "null");
    fprintf(out, "}\n");
}

static void look_up(const edge_pack *pack)
{
    uint8_t key[EDGE_KEY_BYTES];
    while (get(key, sizeof key)) {
        int64_t entry = edge_pack_find(pack, key);
        fwrite(&entry, sizeof entry, 1, out);
        for (size_t i = 0; entry >= 0 && i < pack->field_count; i++)
            for (size_t k = 0; k < pack->fields[i].items; k++) {
                edge_scalar value = edge_pack_value(pack, entry, &pack->fields[i], k);
                fwrite(&value.as, sizeof value.as, 1, out);
            }
    }
}

static char *read_text(size_t *length)
{
    uint32_t bytes;
    if (!get(&bytes, sizeof bytes)) return NULL;
    char *text = malloc(bytes ? bytes : 1); /* no byte more: reading on would be found */
    *length = bytes;
    if (!get(text, bytes)) exit(2);
    return text;
}

static void rows(const char *canonicaliser, char **dtypes, size_t count)
{
    for (;;) {
        edge_key key;
        uint8_t made[1 + EDGE_KEY_BYTES];
        edge_key_begin(&key, canonicaliser);
        for (size_t i = 0; i < count; i++) {
            edge_dtype dtype = edge_dtype_of(dtypes[i]);
            if (dtype) {
                uint64_t number;
                if (!get(&number, edge_dtype_bytes(dtype))) return;
                edge_key_numbers(&key, dtype, &number, 1);
            } else {
                size_t length;
                char *text = read_text(&length);
                if (!text) return;
                edge_key_text(&key, text, length);
                free(text);
            }
        }
        made[0] = (uint8_t)edge_key_end(&key, made + 1);
        fwrite(made, sizeof made, 1, out);
    }
}

static const edge_field *several(const edge_pack *pack)
{
    for (size_t i = 0; !pack->top && i < pack->field_count; i++)
        if (!strcmp(pack->fields[i].role, "scores")) return &pack->fields[i];
    return NULL;
}

static void print_labels(const edge_pack *pack, int64_t entry, edge_scalar fallback)
{
    const edge_field *scores = several(pack);
    int count = 0;
    if (!scores || (entry < 0 && fallback.kind == EDGE_NULL)) {
        fprintf(out, "null");
        return;
    }
    fputc('[', out);
    for (size_t i = 0; entry >= 0 && i < pack->classes.count; i++) {
        if (edge_pack_real(pack, entry, scores, i) < pack->threshold) continue;
        if (count++) fputc(',', out);
        print_scalar(pack->classes.at[i]);
    }
    if (entry < 0) print_scalar(fallback);
    fputc(']', out);
}

static void predict(const edge_pack *pack, double now)
{
    char *name;
    size_t length;
    while ((name = read_text(&length))) {
        edge_prediction answer;
        double behind = 0, late = edge_pack_now(pack, now, &behind);
        int64_t entry = edge_pack_predict(pack, name, length, late, &answer);
        size_t count = edge_pack_items(pack, entry, NULL, 0);
        edge_item *items = malloc((count ? count : 1) * sizeof *items);
        edge_pack_items(pack, entry, items, count);
        edge_scalar label = answer.label;
        if (several(pack)) label.kind = EDGE_NULL; /* it is one of any number of labels */
        fprintf(out, "{\"entry\":%" PRId64 ",\"label\":", entry), print_scalar(label);
        fprintf(out, ",\"labels\":"), print_labels(pack, entry, answer.label);
        fprintf(out, ",\"value\":"), print_scalar(answer.value);
        fprintf(out, ",\"confidence\":"), print_real(answer.confidence);
        fprintf(out, ",\"age\":"), print_real(answer.age);
        fprintf(out, ",\"items\":[");
        for (size_t i = 0; i < count; i++) {
            if (i) fputc(',', out);
            print_text(items[i].name, items[i].length);
        }
        fprintf(out, "],\"scores\":[");
        for (size_t i = 0; i < count; i++) {
            if (i) fputc(',', out);
            print_real(items[i].score);
        }
        fprintf(out, "]}\n");
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
            fprintf(out, "{\"entry\":%d}\n", EDGE_NO_NAME);
            free(name);
            continue;
        }
        int64_t entry = edge_pack_find(pack, key);
        fprintf(out, "{\"entry\":%" PRId64, entry);
        for (size_t i = 0; i < pack->field_count; i++) {
            fputc(',', out), print_text(pack->fields[i].name, strlen(pack->fields[i].name)), fputc(':', out);
            print_scalar(edge_pack_feature(pack, entry, &pack->fields[i]));
        }
        fprintf(out, "}\n");
        free(name);
    }
}

static void halves(void)
{
    for (double number; get(&number, sizeof number);) {
        uint16_t half = edge_half_of(number);
        double back = edge_half(half);
        fwrite(&half, sizeof half, 1, out), fwrite(&back, sizeof back, 1, out);
    }
}

static void answer(char **words, size_t count)
{
    if (!strcmp(words[0], "rows")) {
        rows(words[1], words + 2, count - 2);
        return;
    }
    if (!strcmp(words[0], "halves")) {
        halves();
        return;
    }
    edge_error error;
    edge_wanted wanted = {NULL, NULL, NULL, 0};
    if (!strcmp(words[0], "predict")) wanted.model = words[3];
    if (!strcmp(words[0], "describe")) {
        wanted.now = strtoll(words[2], NULL, 10);
        if (count == 5) wanted.manifest = words[3], wanted.canonicaliser = words[4];
    }
    edge_pack *pack = edge_pack_open(words[1], &wanted, &error);
    if (!pack) {
        fprintf(out, "{\"error\":"), print_text(error.text, strlen(error.text));
        fprintf(out, "}\n");
        return;
    }
    if (!strcmp(words[0], "describe")) describe(pack);
    else if (!strcmp(words[0], "look-up")) look_up(pack);
    else if (!strcmp(words[0], "predict")) predict(pack, strtod(words[2], NULL));
    else if (!strcmp(words[0], "features")) features(pack);
    else fprintf(out, "%s\n", edge_pack_verify(pack, &error) ? "sound" : error.text);
    edge_pack_close(pack);
}

static char *read_bytes(uint32_t *length)
{
    if (!fread(length, sizeof *length, 1, stdin)) exit(0);
    char *bytes = malloc(*length + 1u);
    if (fread(bytes, 1, *length, stdin) != *length) exit(2);
    bytes[*length] = 0;
    return bytes;
}

int main(void)
{
    for (uint32_t count, length; fread(&count, sizeof count, 1, stdin);) {
        char **words = malloc(count * sizeof *words), *made;
        size_t bytes;
        for (uint32_t i = 0; i < count; i++) words[i] = read_bytes(&length);
        char *given = read_bytes(&length);
        in = given, in_end = given + length, out = open_memstream(&made, &bytes);
        answer(words, count);
        fclose(out);
        uint32_t size = (uint32_t)bytes;
        fwrite(&size, sizeof size, 1, stdout), fwrite(made, 1, bytes, stdout), fflush(stdout);
        for (uint32_t i = 0; i < count; i++) free(words[i]);
        free(words), free(given), free(made);
    }
    return 0;
}

/* fuzz COUNT SEED PACK…: mutate each pack COUNT times in all, and do with it all that one can.
 *
 * Half of the mutations are of the header, a quarter of its numbers, and the checksums that stand
 * over what was mutated are made again: a reader that trusted them would be led out of the file.
 * Each mutant is a buffer of its exact length, so that AddressSanitizer sees a byte too far. */
#include "edge_pack.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed;

static uint32_t roll(uint64_t sides)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; /* xorshift64 */
    return (uint32_t)((seed >> 11) % (sides ? sides : 1));
}

static uint32_t little32(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_little32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static const char *const PIECES[] = {
    "0", "1", "-1", "24", "25", "29", "30", "4294967295", "4294967296", "9223372036854775807",
    "9223372036854775808", "1e308", "1e999", "0.1", "null", "true", "false", "[]", "{}", "[1]", "\"\"",
    "\"uint8\"", "\"float16\"", "\"int64\"", "\"label\"", "\"probabilities\"", "\"scores\"", "\"items\"",
    "\"value\"", "\"entity-v1\"", "\"entity-answers-v1\"", "\"dense-float32-v1\"", "\"top\":1,",
    "\"shape\":[1,1],", "\"shape\":[268435456],", "\"count\":0,", "\"categories\":{},", "\"expires\":0,",
    "\\u0000", "\\u0041", "\\ud800", "\\", "\"", "{", "}", "[", "]", ",", ":", "\xff", "\xc3", " ",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};
enum { COUNT_OF_PIECES = sizeof PIECES / sizeof *PIECES };

/* Replace a random part of the header, most often a whole number or text, by one of the pieces. */
static size_t mutate_text(char *text, size_t bytes, size_t room)
{
    const char *piece = PIECES[roll(COUNT_OF_PIECES)];
    size_t begin = roll(bytes), end, size = strlen(piece);
    if (roll(4)) { /* from a colon or comma to the next one */
        while (begin && !strchr(":,[", text[begin - 1])) begin--;
        for (end = begin; end < bytes && !strchr(",]}", text[end]);) end++;
    } else
        end = begin + roll(8) < bytes ? begin + roll(8) : bytes;
    if (end < begin || end > bytes) end = begin;
    if (bytes - (end - begin) + size > room) return bytes;
    memmove(text + begin + size, text + end, bytes - end);
    memcpy(text + begin, piece, size);
    return bytes - (end - begin) + size;
}

static uint8_t *mutant(const uint8_t *file, size_t length, size_t *made)
{
    static char text[1 << 16];
    size_t header = little32(file + 12), body = (20 + header + 63) / 64 * 64, kind = roll(8);
    memcpy(text, file + 20, header);
    if (kind < 5)
        for (uint32_t n = 1 + roll(3); n--;) header = mutate_text(text, header, sizeof text);
    size_t begin = (20 + header + 63) / 64 * 64, rest = length - body;
    uint8_t *out = calloc(begin + rest + 256, 1);
    memcpy(out, file, 20), memcpy(out + 20, text, header), memcpy(out + begin, file + body, rest);
    put_little32(out + 12, (uint32_t)header);
    put_little32(out + 16, edge_crc32(0, out + 20, header));
    *made = begin + rest;
    if (kind == 5) /* in what follows, where a block's checksum may be made again below */
        for (uint32_t n = 1 + roll(8); n--;) out[begin + roll(rest)] ^= (uint8_t)(1 << roll(8));
    if (kind == 6) put_little32(out + begin + 4 * roll(8), roll(2) ? 0xFFFFFFFF : roll(1000));
    if (kind == 7) *made = roll(2) ? roll(*made) : *made + 64 * roll(4);
    if (!roll(64)) out[roll(20)] ^= (uint8_t)(1 << roll(8));
    return out;
}

/* Make the checksum of each block again, as far as the directory leads to places in the file. */
static void mend(edge_pack *pack, uint8_t *data)
{
    size_t edges = (size_t)4 << (pack->directory_bits - pack->check_bits);
    for (size_t block = 0; block < (size_t)1 << pack->check_bits; block++) {
        const uint8_t *at = pack->directory + block * edges;
        size_t first = little32(at), end = little32(at + edges), bytes = pack->value_bytes;
        if (first > end || end > (size_t)pack->count) continue;
        uint32_t crc = edge_crc32(0, at, edges + 4);
        crc = edge_crc32(crc, pack->keys + 16 * first, 16 * (end - first));
        crc = edge_crc32(crc, pack->values + bytes * first, bytes * (end - first));
        put_little32(data + (pack->checks - pack->data) + 4 * block, crc);
    }
}

static volatile uint64_t used; /* what was read, so that reading is not left out */

static void use(edge_scalar value)
{
    used += value.kind == EDGE_TEXT ? value.length + strlen(value.as.text) : (uint64_t)value.as.integer;
}

static void use_all(const edge_pack *pack, const uint8_t *key)
{
    edge_prediction answer;
    edge_item items[4];
    int64_t entry = edge_pack_find(pack, key);
    for (size_t i = 0; i < pack->field_count && i < 64; i++) {
        const edge_field *field = &pack->fields[i];
        double largest;
        use(edge_pack_feature(pack, entry, field)), use(edge_pack_feature(pack, EDGE_ABSENT, field));
        if (field->items < 1000) used += edge_pack_largest(pack, entry, field, &largest);
        for (size_t k = 0; k <= field->items && k < 9; k++) use(edge_pack_value(pack, entry, field, k));
        use(edge_pack_value(pack, entry, field, field->items - 1));
    }
    used += edge_pack_items(pack, entry, items, 4);
    for (size_t i = 0; i < 4; i++) used += i < edge_pack_items(pack, entry, items, 4) ? items[i].length : 0;
    edge_pack_predict(pack, "user-1", 6, 1e6, &answer), use(answer.label), use(answer.value);
    edge_pack_predict(pack, "nobody", 6, 1e6, &answer), use(answer.label), use(answer.value);
}

int main(int argc, char **argv)
{
    uint64_t opened = 0, entries = 0, count = strtoull(argv[1], NULL, 10);
    seed = strtoull(argv[2], NULL, 10) * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (uint64_t i = 0; i < count; i++) {
        edge_error error;
        edge_pack *pack = edge_pack_open(argv[3 + i % (uint64_t)(argc - 3)], NULL, &error);
        if (!pack) return fprintf(stderr, "%s\n", error.text), 2;
        size_t length;
        uint8_t *made = mutant(pack->data, pack->length, &length);
        uint8_t *exact = malloc(length ? length : 1);
        memcpy(exact, made, length), free(made);
        edge_pack *odd = edge_pack_of(exact, length, NULL, &error);
        if (odd) {
            uint8_t key[16];
            opened++;
            if (roll(2)) mend(odd, exact);
            for (int k = 0; k < 8; k++) {
                for (int b = 0; b < 16; b++) key[b] = (uint8_t)roll(256);
                if (k && pack->count) memcpy(key, pack->keys + 16 * roll((uint64_t)pack->count), 16);
                entries += edge_pack_find(odd, key) >= 0;
                use_all(odd, key);
            }
            used += (uint64_t)edge_pack_verify(odd, &error);
            edge_pack_close(odd);
        }
        free(exact), edge_pack_close(pack);
    }
    printf("%" PRIu64 " mutants, %" PRIu64 " opened, %" PRIu64 " keys found\n", count, opened, entries);
    return 0;
}

/* look_up PACK KEYS ROWS COLUMNS: a line on stdin is a turn, and the answer nanoseconds of the
 * processor's time a look-up: what else the machine does is not counted.
 *
 * "key": KEYS (16 bytes each) are looked up and their values read; "row": the same of ROWS (float32).
 * look_up.mjs does the same. */
#include "edge_pack.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    void *data = malloc(*bytes);
    if (fread(data, 1, *bytes, file) != *bytes) exit(2);
    fclose(file);
    return data;
}

static double sum; /* of what was read, so that reading is not left out */

static void read_values(const edge_pack *pack, int64_t entry)
{
    const edge_field *field = &pack->fields[0];
    if (entry < 0) exit(3);
    for (size_t i = 0; i < field->items; i++) sum += edge_pack_real(pack, entry, field, i);
}

int main(int argc, char **argv)
{
    edge_error error;
    size_t bytes, columns = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;
    edge_pack *pack = edge_pack_open(argv[1], NULL, &error);
    if (!pack || !edge_pack_verify(pack, &error)) return fprintf(stderr, "%s\n", error.text), 1;
    const uint8_t *keys = read_file(argv[2], &bytes);
    const float *rows = read_file(argv[3], &bytes);
    size_t count = bytes / (columns * sizeof *rows);
    for (char turn[16]; fgets(turn, sizeof turn, stdin);) {
        struct timespec begin, end;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
        for (size_t i = 0; i < count; i++) {
            uint8_t made[EDGE_KEY_BYTES];
            const uint8_t *key = made;
            edge_key hash;
            if (*turn == 'k') key = keys + EDGE_KEY_BYTES * i;
            else {
                edge_key_begin(&hash, pack->canonicaliser);
                edge_key_numbers(&hash, EDGE_FLOAT32, rows + columns * i, columns);
                edge_key_end(&hash, made);
            }
            read_values(pack, edge_pack_find(pack, key));
        }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
        double seconds = difftime(end.tv_sec, begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
        printf("%.2f\n", 1e9 * seconds / (double)count), fflush(stdout);
    }
    return sum == 0;
}

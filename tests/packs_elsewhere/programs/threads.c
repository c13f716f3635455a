/* threads PACK: eight threads look every key up at once, from the first use of each block on. */
#include "edge_pack.h"
#include <pthread.h>
#include <stdio.h>

static edge_pack *pack;

static void *look_up(void *wrong)
{
    for (int64_t i = 0; i < pack->count; i++)
        *(int64_t *)wrong += edge_pack_find(pack, pack->keys + 16 * i) != i;
    return NULL;
}

int main(int argc, char **argv)
{
    for (int round = 0; argc > 1 && round < 50; round++) {
        pthread_t threads[8];
        int64_t wrong[8] = {0};
        edge_error error;
        if (!(pack = edge_pack_open(argv[1], NULL, &error))) return 2;
        for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, look_up, &wrong[i]);
        for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
        for (int i = 0; i < 8; i++)
            if (wrong[i]) return printf("%d entries are wrong\n", (int)wrong[i]), 1;
        edge_pack_close(pack);
    }
    return 0;
}

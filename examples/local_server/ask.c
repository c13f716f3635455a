/* Ask a device over its Unix socket, with frames as docs/LOCAL_SERVER.md describes them.
 *
 *     cc -O2 -o ask ask.c && ./ask state/edge.sock 0.1 0.2 0.3 0.4
 *
 * Both ends are on one machine, which is little-endian here; on a big-endian one swap the bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct header { uint32_t size; uint16_t status, kind; };
struct answer {
    uint8_t source, flags;
    uint16_t label_bytes, version_bytes, id_bytes;
    uint32_t count, padding;
    double confidence;
};
enum { ROW = 1, DEGRADED = 1, HAS_LABEL = 2, HAS_CONFIDENCE = 8 };

static int all(int fd, void *data, size_t size, int sending)
{
    for (char *at = data; size > 0;) {
        ssize_t done = sending ? write(fd, at, size) : read(fd, at, size);
        if (done <= 0) return -1;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const sources[] = {"pack", "model", "cloud", "default"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), width = argc - 2;
    if (width < 1 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: %s SOCKET NUMBER...\n", argv[0]);
        return 2;
    }
    strcpy(address.sun_path, argv[1]);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror(argv[1]);
        return 1;
    }

    /* The request: a header, and the row. */
    struct header header = {(uint32_t)(width * sizeof(float)), ROW, 0};
    float *row = malloc(header.size);
    for (int i = 0; row && i < width; i++) row[i] = strtof(argv[i + 2], NULL);
    if (!row || all(fd, &header, sizeof header, 1) || all(fd, row, width * sizeof(float), 1)) {
        perror("sending");
        return 1;
    }

    /* The answer: a header with the status, and what it announces. */
    if (all(fd, &header, sizeof header, 0)) { perror("receiving"); return 1; }
    char *body = calloc(1, (size_t)header.size + 1);
    if (!body || all(fd, body, header.size, 0)) { perror("receiving"); return 1; }
    if (header.status != 200) {
        fprintf(stderr, "%u: %s\n", header.status, body);
        return 1;
    }
    struct answer answer;
    memcpy(&answer, body, sizeof answer);
    const char *label = body + sizeof answer + answer.count * sizeof(double);
    const char *version = label + answer.label_bytes, *id = version + answer.version_bytes;
    if (answer.flags & HAS_LABEL) printf("label %.*s\n", answer.label_bytes, label);
    if (answer.flags & HAS_CONFIDENCE) printf("confidence %.17g\n", answer.confidence);
    for (uint32_t i = 0; i < answer.count; i++) {
        double number;
        memcpy(&number, body + sizeof answer + i * sizeof number, sizeof number);
        printf("number %.17g\n", number);
    }
    printf("source %s%s\n", sources[answer.source & 3], answer.flags & DEGRADED ? " degraded" : "");
    printf("version %.*s\nid %.*s\n", answer.version_bytes, version, answer.id_bytes, id);
    free(row);
    free(body);
    close(fd);
    return 0;
}

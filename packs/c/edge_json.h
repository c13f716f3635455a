/* JSON of a header, as an array of nodes in the order of the text. */
#ifndef EDGE_JSON_H
#define EDGE_JSON_H
#include <stddef.h>
#include <stdint.h>

/* One value. A flag is the integer 0 or 1; a text is UTF-8, and ends with a NUL. Of arrays and
 * objects `integer` is how many they hold. That follows them, each member of an object after its
 * name; `length` is the index of the node after the last. */
typedef enum {
    EDGE_NULL, EDGE_FLAG, EDGE_INTEGER, EDGE_REAL, EDGE_TEXT, EDGE_ARRAY, EDGE_OBJECT
} edge_kind;
typedef struct {
    edge_kind kind;
    uint32_t length; /* bytes of a text */
    union { int64_t integer; double real; const char *text; } as;
} edge_scalar;
typedef struct { const edge_scalar *at; size_t count; } edge_list;

/* Parse what is UTF-8 already, into at most `bytes` / 2 + 1 nodes and `bytes` + 1 bytes of texts.
 * 1; or 0 for what is no JSON, is nested deeper than 64, or has a NUL in a text. */
int edge_json_parse(const char *json, size_t bytes, edge_scalar *nodes, char *texts);
/* The node after a node and all that it holds. */
const edge_scalar *edge_json_after(const edge_scalar *nodes, const edge_scalar *node);
/* A member of an object, the last of several of one name; NULL where there is none. */
const edge_scalar *edge_json_member(const edge_scalar *nodes, const edge_scalar *object,
                                    const char *name);
#endif

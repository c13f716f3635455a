#include "edge_json.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64, LONGEST_NUMBER = 63 };
typedef struct { const char *at, *end; char *text; edge_scalar *nodes; uint32_t count, most; } json;

static int is_one_of(char c, const char *set) { return c && strchr(set, c); }

static int take(json *from, char wanted)
{
    while (from->at < from->end && is_one_of(*from->at, " \t\r\n")) from->at++;
    return from->at < from->end && *from->at == wanted ? from->at++, 1 : 0;
}

static int hexadecimal(json *from, uint32_t *code)
{
    char text[5] = "";
    if (from->end - from->at < 4) return 0;
    memcpy(text, from->at, 4), from->at += 4;
    *code = (uint32_t)strtoul(text, NULL, 16);
    return strspn(text, "0123456789abcdefABCDEF") == 4;
}

/* What stands after a backslash, as UTF-8. */
static int escape(json *from)
{
    static const char NAMES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    uint32_t code, low;
    if (from->at == from->end) return 0;
    char name = *from->at++;
    if (is_one_of(name, NAMES)) return *from->text++ = MEANT[strchr(NAMES, name) - NAMES], 1;
    if (name != 'u' || !hexadecimal(from, &code)) return 0;
    if (code >> 10 == 0x36) { /* the first half of a pair */
        if (from->end - from->at < 2 || memcmp(from->at, "\\u", 2)) return 0;
        from->at += 2;
        if (!hexadecimal(from, &low) || low >> 10 != 0x37) return 0;
        code = 0x10000 + ((code & 0x3FF) << 10 | (low & 0x3FF));
    }
    if (!code || code >> 11 == 0x1B) return 0; /* a NUL, which ends texts in C; half a pair */
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    uint32_t lead = more ? 0xF00u >> (more + 1) & 0xFF : 0;
    *from->text++ = (char)(lead | code >> 6 * more);
    while (more--) *from->text++ = (char)(0x80 | (code >> 6 * more & 0x3F));
    return 1;
}

static int parse_text(json *from, edge_scalar *node)
{
    node->kind = EDGE_TEXT, node->as.text = from->text; /* never longer than it is written */
    while (from->at < from->end && *from->at != '"') {
        if ((unsigned char)*from->at < 0x20) return 0;
        if (*from->at != '\\') *from->text++ = *from->at++;
        else if (from->at++, !escape(from)) return 0;
    }
    node->length = (uint32_t)(from->text - node->as.text), *from->text++ = 0;
    return from->at++ < from->end;
}

static int parse_number(json *from, edge_scalar *node)
{
    const char *point = localeconv()->decimal_point; /* strtod reads that of the program's locale */
    char text[LONGEST_NUMBER + 16] = "", *end = text;
    for (; from->at < from->end && is_one_of(*from->at, "+-.eE0123456789"); from->at++) {
        if (end - text >= LONGEST_NUMBER) return 0;
        *end = *from->at;
        end = *end == '.' ? strcpy(end, point) + strlen(point) : end + 1;
    }
    if (end == text) return 0;
    errno = 0, node->kind = EDGE_INTEGER, node->as.integer = strtoll(text, &end, 10);
    if (!*end && !errno) return 1;
    node->kind = EDGE_REAL, node->as.real = strtod(text, &end);
    return !*end && isfinite(node->as.real);
}

static int parse(json *from, int depth)
{
    static const char *const WORDS[] = {"null", "false", "true"};
    if (!depth || from->count == from->most) return 0;
    edge_scalar *node = &from->nodes[from->count++];
    memset(node, 0, sizeof *node);
    int is_object = take(from, '{');
    if (is_object || take(from, '[')) {
        char close = is_object ? '}' : ']';
        int is_empty = take(from, close);
        node->kind = is_object ? EDGE_OBJECT : EDGE_ARRAY;
        if (!is_empty) do {
            edge_scalar *name = &from->nodes[from->count];
            if (is_object && !(parse(from, 1) && name->kind == EDGE_TEXT)) return 0;
            if ((is_object && !take(from, ':')) || !parse(from, depth - 1)) return 0;
            node->as.integer++;
        } while (take(from, ','));
        node->length = from->count;
        return is_empty || take(from, close);
    }
    if (take(from, '"')) return parse_text(from, node);
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(WORDS[i]);
        if ((size_t)(from->end - from->at) < n || memcmp(from->at, WORDS[i], n)) continue;
        from->at += n, node->kind = i ? EDGE_FLAG : EDGE_NULL, node->as.integer = i == 2;
        return 1;
    }
    return parse_number(from, node);
}

int edge_json_parse(const char *text, size_t bytes, edge_scalar *nodes, char *texts)
{
    json from = {text, text + bytes, texts, nodes, 0, (uint32_t)(bytes / 2 + 1)};
    return parse(&from, DEPTH) && !take(&from, 0) && from.at == from.end;
}

const edge_scalar *edge_json_after(const edge_scalar *nodes, const edge_scalar *node)
{
    return node->kind < EDGE_ARRAY ? node + 1 : nodes + node->length;
}

const edge_scalar *edge_json_member(const edge_scalar *nodes, const edge_scalar *object,
                                    const char *name)
{
    const edge_scalar *found = NULL, *at = object + 1;
    if (object->kind != EDGE_OBJECT) return NULL;
    for (; at < edge_json_after(nodes, object); at = edge_json_after(nodes, at + 1))
        if (!strcmp(at->as.text, name)) found = at + 1;
    return found;
}

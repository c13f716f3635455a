/* Forests of decision trees, one row at a time, with the answers of onnxruntime to the last bit.
 *
 * onnxruntime adds the leaves of a TreeEnsembleRegressor up in float32, tree after tree, if it has
 * one thread; so does this. What is left out is everything around that: a run of a session costs
 * microseconds, and the walk of one tree waits for each of its nodes. Here eight trees are walked
 * at once, without a branch: a leaf leads to itself, whatever the row.
 *
 * A call keeps the GIL unless the forest is large: it takes less time than giving the GIL up and
 * waiting for it again. A forest is only read once it is built, so that threads share it; what is
 * bound to buffers belongs to one thread.
 *
 * Only the limited API of Python 3.11 is used, so that one build serves all later versions.
 */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INTERFACE 1     /* raised with every change of what Python calls */
#define AT_ONCE 8       /* trees that are walked together */
#define MOST_DEPTH 4096 /* of a tree; deeper ones are refused, as are nodes in a ring */
#define MOST_GAPS 4     /* numbers of a tree's nodes, by its nodes: they are a table's size */
#define LONG_STEPS 50000 /* visits of nodes, a tenth of a millisecond: from there others may run */

typedef struct {
    float threshold; /* the row goes left if its value is at most this */
    uint32_t feature;
    uint32_t left; /* the right child follows it; a leaf has itself, and infinity as threshold */
} Node;

typedef struct {
    uint32_t begin, end; /* its weights */
} Leaf;

typedef struct {
    PyObject_HEAD
    Node *nodes;
    Leaf *leaves; /* by node */
    uint32_t *roots, *depths;
    uint32_t *targets; /* of the weights */
    float *weights, *base;
    size_t trees, outputs, features, steps; /* steps: nodes that one row visits at most */
    int average;
} Forest;

/* ---- reading of a NodeProto ---------------------------------------------------------------- */

typedef struct {
    const uint8_t *at, *end;
} Bytes;

typedef struct {
    uint32_t number, wire;
    uint64_t value; /* of wire types 0, 1 and 5 */
    Bytes content;  /* of wire type 2 */
} Field;

static int varint(Bytes *from, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 70 && from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        if (shift < 64)
            *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return 1;
    }
    return 0;
}

/* Reads the next field; 1, or 0 at the end, or -1 where there is none. */
static int field(Bytes *from, Field *found)
{
    uint64_t tag, size;
    if (from->at >= from->end)
        return 0;
    if (!varint(from, &tag))
        return -1;
    found->number = (uint32_t)(tag >> 3);
    found->wire = (uint32_t)(tag & 7);
    found->value = 0;
    found->content.at = found->content.end = from->at;
    switch (found->wire) {
    case 0:
        return varint(from, &found->value) ? 1 : -1;
    case 1:
        size = 8;
        break;
    case 5:
        size = 4;
        break;
    case 2:
        if (!varint(from, &size))
            return -1;
        break;
    default:
        return -1;
    }
    if (size > (uint64_t)(from->end - from->at))
        return -1;
    if (found->wire == 2) {
        found->content.at = from->at;
        found->content.end = from->at + size;
    } else {
        memcpy(&found->value, from->at, size); /* little-endian, as this machine */
    }
    from->at += size;
    return 1;
}

static int is(Bytes text, const char *word)
{
    size_t size = (size_t)(text.end - text.at);
    return size == strlen(word) && memcmp(text.at, word, size) == 0;
}

/* A list of numbers of an attribute, as they come: integers, or floats by their bits. */
typedef struct {
    int64_t *values;
    size_t count, room;
} List;

static int append(List *list, int64_t value)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 1024;
        int64_t *values = realloc(list->values, room * sizeof *values);
        if (values == NULL)
            return 0;
        list->values = values;
        list->room = room;
    }
    list->values[list->count++] = value;
    return 1;
}

enum {
    TREE, NODE, FEATURE, THRESHOLD, TRUE_CHILD, FALSE_CHILD, MODE,
    LEAF_TREE, LEAF_NODE, TARGET, WEIGHT, BASE, LISTS
};
static const char *const NAMES[LISTS] = {
    "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_truenodeids",
    "nodes_falsenodeids", "nodes_modes", "target_treeids", "target_nodeids", "target_ids",
    "target_weights", "base_values",
};

typedef struct {
    List lists[LISTS];
    int64_t outputs;
    int average;
} Attributes;

/* Reads numbers of a list, packed or one by one. */
static int numbers(List *list, const Field *found)
{
    Bytes packed = found->content;
    if (found->wire != 2)
        return append(list, (int64_t)found->value);
    while (packed.at < packed.end) {
        uint64_t value = 0;
        if (found->number == 7) {
            if (packed.end - packed.at < 4)
                return 0;
            memcpy(&value, packed.at, 4);
            packed.at += 4;
        } else if (!varint(&packed, &value)) {
            return 0;
        }
        if (!append(list, (int64_t)value))
            return 0;
    }
    return 1;
}

/* Reads one attribute; 0 if it says what this cannot do. */
static int attribute(Attributes *into, Bytes from)
{
    Bytes name = {NULL, NULL}, text = {NULL, NULL}, again = from;
    Field found;
    int64_t whole = 0;
    int state, which;
    while ((state = field(&again, &found)) > 0) {
        if (found.number == 1)
            name = found.content;
        else if (found.number == 3)
            whole = (int64_t)found.value;
        else if (found.number == 4)
            text = found.content;
        else if (found.number >= 7 && found.number <= 9)
            break; /* the list is read below: its name is known by now */
    }
    if (state < 0 || name.at == NULL)
        return 0;
    if (is(name, "n_targets"))
        return (into->outputs = whole) > 0;
    if (is(name, "aggregate_function"))
        return (into->average = is(text, "AVERAGE")) || is(text, "SUM");
    if (is(name, "post_transform"))
        return is(text, "NONE");
    if (is(name, "nodes_hitrates") || is(name, "nodes_missing_value_tracks_true"))
        return 1; /* no row that comes here misses a value */
    for (which = 0; which < LISTS && !is(name, NAMES[which]); which++)
        ;
    if (which == LISTS)
        return 0;
    while ((state = field(&from, &found)) > 0) {
        if (found.number == 9) {
            int leaf = is(found.content, "LEAF");
            if (which != MODE || (!leaf && !is(found.content, "BRANCH_LEQ")))
                return 0;
            if (!append(&into->lists[MODE], leaf))
                return 0;
        } else if (found.number == 7 || found.number == 8) {
            if (which == MODE || !numbers(&into->lists[which], &found))
                return 0;
        }
    }
    return state == 0;
}

static int attributes_of(Attributes *into, Bytes node)
{
    Field found;
    int state;
    while ((state = field(&node, &found)) > 0)
        if (found.number == 5 && (found.wire != 2 || !attribute(into, found.content)))
            return 0;
    return state == 0;
}

/* ---- building ------------------------------------------------------------------------------ */

static float as_float(int64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float value;
    memcpy(&value, &low, 4);
    return value;
}

/* Where the nodes of each tree lie in the lists: trees follow each other there. */
typedef struct {
    const Attributes *from;
    size_t first, count; /* of the tree that is built */
    size_t used;         /* nodes of the forest so far */
    uint32_t *weight_of; /* by node in the lists: its first weight, and where they end */
    uint32_t *weight_end;
    const int32_t *place_of; /* by number of a node in this tree: its place in the lists */
    size_t numbers;
} Building;

static int place(const Building *b, int64_t number, size_t *at)
{
    if (number < 0 || (size_t)number >= b->numbers || b->place_of[number] < 0)
        return 0;
    *at = (size_t)b->place_of[number];
    return 1;
}

/* Writes the node at `at` of the lists to `to`; the depth below it, or 0 if it is no tree. */
static uint32_t put(Forest *f, Building *b, size_t at, size_t to, uint32_t depth, size_t room)
{
    const List *lists = b->from->lists;
    Node *node = &f->nodes[to];
    uint32_t one, other;
    size_t left, right, child;
    if (lists[MODE].values[at]) {
        node->threshold = as_float(0x7f800000);
        node->feature = 0;
        node->left = (uint32_t)to;
        f->leaves[to].begin = b->weight_of[at];
        f->leaves[to].end = b->weight_end[at];
        return 1;
    }
    int64_t feature = lists[FEATURE].values[at];
    if (depth >= MOST_DEPTH || b->used + 2 > room || feature < 0 ||
        (size_t)feature >= f->features || !place(b, lists[TRUE_CHILD].values[at], &left) ||
        !place(b, lists[FALSE_CHILD].values[at], &right))
        return 0;
    child = b->used;
    b->used += 2;
    node->threshold = as_float(lists[THRESHOLD].values[at]);
    node->feature = (uint32_t)feature;
    node->left = (uint32_t)child;
    one = put(f, b, left, child, depth + 1, room);
    other = one ? put(f, b, right, child + 1, depth + 1, room) : 0;
    if (!one || !other)
        return 0;
    return 1 + (one > other ? one : other);
}

static void *zeros(size_t count, size_t size)
{
    return calloc(count ? count : 1, size);
}

/* Finds the weights of each leaf, which must lie together; they keep their order. */
static int leaves(Building *b, size_t nodes)
{
    const List *lists = b->from->lists;
    size_t at = 0;
    for (size_t i = 0; i < lists[WEIGHT].count; i++) {
        int64_t tree = lists[LEAF_TREE].values[i], number = lists[LEAF_NODE].values[i];
        /* As they are written, weights are in the order of the nodes. */
        while (at < nodes &&
               (lists[TREE].values[at] != tree || lists[NODE].values[at] != number))
            at++;
        if (at == nodes || !lists[MODE].values[at])
            return 0;
        if (b->weight_of[at] == b->weight_end[at])
            b->weight_of[at] = (uint32_t)i;
        b->weight_end[at] = (uint32_t)i + 1;
    }
    return 1;
}

static int trees(Forest *f, Building *b, size_t nodes)
{
    const List *lists = b->from->lists;
    int32_t *place_of = NULL;
    int fits = 1;
    for (size_t first = 0, end; fits && first < nodes; first = end) {
        int64_t tree = lists[TREE].values[first], most = 0;
        for (end = first; end < nodes && lists[TREE].values[end] == tree; end++) {
            int64_t number = lists[NODE].values[end];
            if (number < 0 || number > (int64_t)nodes)
                fits = 0;
            else if (number > most)
                most = number;
        }
        if (!fits || (f->trees && tree <= lists[TREE].values[first - 1]))
            return 0;
        b->numbers = (size_t)most + 1;
        if (b->numbers > MOST_GAPS * (end - first))
            return 0;
        place_of = malloc(b->numbers * sizeof *place_of);
        if (place_of == NULL)
            return 0;
        memset(place_of, 0xff, b->numbers * sizeof *place_of);
        for (size_t i = first; i < end; i++)
            place_of[lists[NODE].values[i]] = (int32_t)i;
        b->place_of = place_of;
        /* The first node of a tree is its root. */
        size_t root = b->used++;
        uint32_t depth = root < nodes ? put(f, b, first, root, 0, nodes) : 0;
        f->roots[f->trees] = (uint32_t)root;
        f->depths[f->trees++] = depth ? depth - 1 : 0;
        f->steps += depth;
        fits = depth > 0;
        free(place_of);
    }
    return fits;
}

static int build(Forest *f, const Attributes *from)
{
    const List *lists = from->lists;
    size_t nodes = lists[NODE].count, weights = lists[WEIGHT].count;
    for (int which = TREE; which <= MODE; which++)
        if (lists[which].count != nodes)
            return 0;
    for (int which = LEAF_TREE; which <= WEIGHT; which++)
        if (lists[which].count != weights)
            return 0;
    if (!nodes || nodes > INT32_MAX || weights > INT32_MAX || from->outputs > 1 << 20)
        return 0;
    f->outputs = (size_t)from->outputs;
    f->average = from->average;
    if (lists[BASE].count && lists[BASE].count != f->outputs)
        return 0;
    Building b = {from, 0, 0, 0, zeros(nodes, 4), zeros(nodes, 4), NULL, 0};
    /* One node more, which leads to the first: a row with a NaN goes right even at a leaf, and must
     * not leave the array. */
    f->nodes = zeros(nodes + 1, sizeof *f->nodes);
    f->leaves = zeros(nodes + 1, sizeof *f->leaves);
    f->roots = zeros(nodes, 4);
    f->depths = zeros(nodes, 4);
    f->targets = zeros(weights, 4);
    f->weights = zeros(weights, 4);
    f->base = lists[BASE].count ? zeros(f->outputs, 4) : NULL;
    int fits = b.weight_of && b.weight_end && f->nodes && f->leaves && f->roots && f->depths &&
               f->targets && f->weights && (f->base || !lists[BASE].count);
    for (size_t i = 0; fits && i < weights; i++) {
        int64_t target = lists[TARGET].values[i];
        fits = target >= 0 && (size_t)target < f->outputs;
        f->targets[i] = (uint32_t)target;
        f->weights[i] = as_float(lists[WEIGHT].values[i]);
    }
    for (size_t i = 0; fits && i < lists[BASE].count; i++)
        f->base[i] = as_float(lists[BASE].values[i]);
    fits = fits && leaves(&b, nodes) && trees(f, &b, nodes);
    free(b.weight_of);
    free(b.weight_end);
    return fits;
}

/* ---- answering ----------------------------------------------------------------------------- */

/* Adds up the leaves that `row` ends in, tree after tree. */
static void answer(const Forest *f, const float *row, float *scores)
{
    const Node *nodes = f->nodes;
    memset(scores, 0, f->outputs * sizeof *scores);
    for (size_t first = 0; first < f->trees; first += AT_ONCE) {
        size_t count = f->trees - first < AT_ONCE ? f->trees - first : AT_ONCE;
        uint32_t at[AT_ONCE], depth = 0;
        for (size_t i = 0; i < AT_ONCE; i++) {
            /* The last group is filled up with its first tree, which is not counted twice. */
            size_t tree = first + (i < count ? i : 0);
            at[i] = f->roots[tree];
            depth = f->depths[tree] > depth ? f->depths[tree] : depth;
        }
        for (uint32_t step = 0; step < depth; step++)
            for (size_t i = 0; i < AT_ONCE; i++) {
                const Node *node = &nodes[at[i]];
                at[i] = node->left + !(row[node->feature] <= node->threshold);
            }
        for (size_t i = 0; i < count; i++) {
            Leaf leaf = f->leaves[at[i]];
            for (uint32_t w = leaf.begin; w < leaf.end; w++)
                scores[f->targets[w]] += f->weights[w];
        }
    }
    for (size_t i = 0; i < f->outputs; i++) {
        if (f->average)
            scores[i] /= (float)f->trees;
        if (f->base)
            scores[i] += f->base[i];
    }
}

/* ---- Python -------------------------------------------------------------------------------- */

static void release(Forest *f)
{
    free(f->nodes);
    free(f->leaves);
    free(f->roots);
    free(f->depths);
    free(f->targets);
    free(f->weights);
    free(f->base);
}

static void forest_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    release((Forest *)self);
    freefunc freed = (freefunc)PyType_GetSlot(type, Py_tp_free);
    freed(self);
    Py_DECREF(type);
}

static PyObject *forest_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keys[] = {"node", "features", NULL};
    Py_buffer raw;
    Py_ssize_t features;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*n", keys, &raw, &features))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Forest *self = (Forest *)alloc(type, 0);
    Attributes from;
    memset(&from, 0, sizeof from);
    from.outputs = 1;
    int fits = 0;
    if (self != NULL && features > 0 && features <= INT32_MAX) {
        Bytes bytes = {raw.buf, (const uint8_t *)raw.buf + raw.len};
        self->features = (size_t)features;
        fits = attributes_of(&from, bytes) && build(self, &from);
    }
    for (int which = 0; which < LISTS; which++)
        free(from.lists[which].values);
    PyBuffer_Release(&raw);
    if (self != NULL && !fits) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_ValueError, "expected a TreeEnsembleRegressor of plain thresholds");
        return NULL;
    }
    return (PyObject *)self;
}

typedef struct {
    PyObject_HEAD
    Forest *forest;
    Py_buffer row, scores;
} Bound;

static void bound_dealloc(PyObject *self)
{
    Bound *bound = (Bound *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (bound->row.obj != NULL)
        PyBuffer_Release(&bound->row);
    if (bound->scores.obj != NULL)
        PyBuffer_Release(&bound->scores);
    Py_XDECREF((PyObject *)bound->forest);
    freefunc freed = (freefunc)PyType_GetSlot(type, Py_tp_free);
    freed(self);
    Py_DECREF(type);
}

static PyObject *bound_run(PyObject *self, PyObject *nothing)
{
    Bound *bound = (Bound *)self;
    (void)nothing;
    if (bound->forest->steps > LONG_STEPS) {
        Py_BEGIN_ALLOW_THREADS
        answer(bound->forest, bound->row.buf, bound->scores.buf);
        Py_END_ALLOW_THREADS
    } else {
        answer(bound->forest, bound->row.buf, bound->scores.buf);
    }
    Py_RETURN_NONE;
}

static PyMethodDef bound_methods[] = {
    {"run", bound_run, METH_NOARGS, "Read the row, write the scores."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, bound_dealloc},
    {Py_tp_methods, bound_methods},
    {0, NULL},
};
static PyType_Spec bound_spec = {
    "edge_native.Bound", sizeof(Bound), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, bound_slots,
};
static PyTypeObject *bound_type;

static PyObject *forest_bind(PyObject *self, PyObject *args)
{
    Forest *forest = (Forest *)self;
    PyObject *row, *scores;
    if (!PyArg_ParseTuple(args, "OO", &row, &scores))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(bound_type, Py_tp_alloc);
    Bound *bound = (Bound *)alloc(bound_type, 0);
    if (bound == NULL)
        return NULL;
    Py_INCREF(self);
    bound->forest = forest;
    if (PyObject_GetBuffer(row, &bound->row, PyBUF_C_CONTIGUOUS) < 0 ||
        PyObject_GetBuffer(scores, &bound->scores, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) {
        Py_DECREF(bound);
        return NULL;
    }
    if ((size_t)bound->row.len != 4 * forest->features ||
        (size_t)bound->scores.len != 4 * forest->outputs) {
        Py_DECREF(bound);
        PyErr_SetString(PyExc_ValueError, "expected buffers of a row and of the scores, float32");
        return NULL;
    }
    return (PyObject *)bound;
}

static PyMethodDef forest_methods[] = {
    {"bind", forest_bind, METH_VARARGS,
     "Return the forest bound to a buffer of a row and one of the scores, float32 each."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot forest_slots[] = {
    {Py_tp_new, forest_new},
    {Py_tp_dealloc, forest_dealloc},
    {Py_tp_methods, forest_methods},
    {Py_tp_doc, "Forest(node, features): a TreeEnsembleRegressor, of its NodeProto as bytes."},
    {0, NULL},
};
static PyType_Spec forest_spec = {
    "edge_native.Forest", sizeof(Forest), 0, Py_TPFLAGS_DEFAULT, forest_slots,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "edge_native", "Forests of decision trees, one row at a time.", -1,
    NULL, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_edge_native(void)
{
    PyObject *made = PyModule_Create(&module);
    PyObject *forest = made ? PyType_FromSpec(&forest_spec) : NULL;
    bound_type = forest ? (PyTypeObject *)PyType_FromSpec(&bound_spec) : NULL;
    if (bound_type == NULL || PyModule_AddObjectRef(made, "Forest", forest) < 0 ||
        PyModule_AddIntConstant(made, "INTERFACE", INTERFACE) < 0) {
        Py_XDECREF(forest);
        Py_XDECREF(made);
        return NULL;
    }
    Py_DECREF(forest);
    return made;
}

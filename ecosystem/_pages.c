/* Memory that forked workers give back to the zygote.
 *
 * The zygote keeps what Python allocates in one reserve of addresses. Before it forks it seals the reserve: the content moves into a
 * memfd, of which every process has a private mapping at the same place. A worker that writes to a page gets a copy of its own, for
 * ever; and CPython writes to whatever it looks at: it counts references. `sweep` compares these copies with what was sealed and
 * drops those that differ in nothing but counts nobody needs: what is read there from then on is the shared page again.
 *
 * Why that is safe, at length in docs/adr/0028; in short:
 * - Whoever writes to this memory holds the GIL, and so does `sweep` from its comparison to its drop.
 * - After the sealing nothing is allocated in the reserve: it has no hole left, and what is freed there stays as it is. So no buffer
 *   that is filled without the GIL (an array of epoll's, the bytes of a recv) ever lies in it.
 * - Counts are put back only where an object begins that the sealing found, and made immortal by adding IMMORTAL to its count.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if defined(__linux__) && defined(WITH_PYMALLOC) && SIZEOF_VOID_P == 8 && !defined(Py_GIL_DISABLED)
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20) /* the reserve is used by the piece: an arena of obmalloc's, or larger blocks */
#define PIECES 256              /* addresses only; about a tenth of it is used */
#define LEAST_ARENA (PIECE / 4) /* what obmalloc's allocator of arenas is asked for besides is smaller: frames of threads */
#define SMALL 512               /* the largest size obmalloc serves */
#define LARGE (64 << 10)        /* the largest size that lies in the reserve */
#define UNIT 16                 /* every object lies on a multiple of this, and begins with its count */
#define CHUNK 512               /* pages asked for at a time */
#define LONGEST 7               /* so many sweeps pass at most before a page that was not spare is compared again */

/* From 3.12 on counts have another shape: there pages that are equal are dropped, and no others. */
#if PY_VERSION_HEX < 0x030C0000
#define IMMORTAL ((Py_ssize_t)1 << 40) /* more references than a process can hold, and far from an overflow */
#else
#define IMMORTAL 0
#endif

static enum { NOTHING, RESERVED, FULL, SEALED } phase = NOTHING;
static char *reserve;
static size_t used;                         /* bytes handed out, from the first on */
static char of_large[PIECES];               /* whether a piece has blocks of ours; else it is an arena */
static PyObjectArenaAllocator arenas;       /* as they were before */
static PyMemAllocatorEx below;              /* of Python's objects and buffers, as it was before */
static uintptr_t fresh_from, fresh_to;      /* the newest arena that is not in the reserve */
static void *given_back[PIECES];            /* arenas Python freed */
static size_t given_back_count;
static char *sealed;                        /* the memfd once more, to read from */
static uint8_t *counts;                     /* a bit for each unit: an immortal object begins here */
static struct {
    uint8_t left, longest;                  /* sweeps to pass over it from now on; and from the next vain comparison on */
} *rests;                                   /* a page's */

static int is_ours(const void *at) { return (uintptr_t)at - (uintptr_t)reserve < used; }

/* The next piece; NULL: there is none. */
static char *new_piece(void) {
    if (used == PIECES * PIECE || mprotect(reserve + used, PIECE, PROT_READ | PROT_WRITE) != 0) return NULL;
    used += PIECE;
    return reserve + used - PIECE;
}

/* --- arenas */

static void *arena_alloc(void *ctx, size_t size) {
    void *got = NULL;
    if (phase == RESERVED && size == PIECE) got = given_back_count ? given_back[--given_back_count] : new_piece();
    if (got != NULL) return got;
    got = arenas.alloc(ctx, size);
    if (got != NULL && size >= LEAST_ARENA) {
        fresh_from = (uintptr_t)got;
        fresh_to = fresh_from + size;
    }
    return got;
}

static void arena_free(void *ctx, void *at, size_t size) {
    if (!is_ours(at)) {
        arenas.free(ctx, at, size);
    } else if (phase == RESERVED) {
        madvise(at, size, MADV_DONTNEED);
        given_back[given_back_count++] = at;
    }
}

/* --- larger blocks, until the sealing: of sizes an eighth of a power of two apart; freed ones wait in a list for each size */

struct block {
    size_t room, number;
    struct block *next; /* of a freed one; of others the first word of what is in it */
};
#define HEAD offsetof(struct block, next)
static struct block *freed[256];
static char *piece;
static size_t piece_left;

static struct block *block_of(void *at) {
    int found = is_ours(at) && of_large[(size_t)((char *)at - reserve) / PIECE];
    return found ? (struct block *)((char *)at - HEAD) : NULL;
}

static void *large_alloc(size_t size) {
    size_t eighth = 64, number = 0;
    for (; eighth * 16 < size + HEAD; eighth *= 2) number += 16;
    size_t steps = (size + HEAD + eighth - 1) / eighth, whole = steps * eighth;
    number += steps - 1;
    struct block *got = freed[number];
    if (got != NULL) {
        freed[number] = got->next;
    } else {
        if (piece_left < whole) {
            char *next = new_piece();
            if (next == NULL) return NULL;
            of_large[(size_t)(next - reserve) / PIECE] = 1;
            piece = next;
            piece_left = PIECE;
        }
        got = (struct block *)piece;
        piece += whole;
        piece_left -= whole;
    }
    got->number = number;
    got->room = whole - HEAD;
    return &got->next;
}

static void *early_malloc(void *ctx, size_t size) {
    void *got = size > SMALL && size <= LARGE ? large_alloc(size) : NULL;
    return got != NULL ? got : below.malloc(ctx, size);
}

static void *early_calloc(void *ctx, size_t count, size_t size) {
    void *got = count * size > SMALL && count * size <= LARGE ? large_alloc(count * size) : NULL;
    return got != NULL ? memset(got, 0, count * size) : below.calloc(ctx, count, size);
}

static void early_free(void *ctx, void *at) {
    struct block *block = block_of(at);
    if (block == NULL) {
        below.free(ctx, at);
    } else {
        block->next = freed[block->number];
        freed[block->number] = block;
    }
}

static void *early_realloc(void *ctx, void *at, size_t size) {
    struct block *block = block_of(at);
    if (block == NULL) return below.realloc(ctx, at, size);
    if (size <= block->room && size > block->room / 2) return at;
    void *got = early_malloc(ctx, size);
    if (got != NULL) {
        memcpy(got, at, size < block->room ? size : block->room);
        early_free(ctx, at);
    }
    return got;
}

static void allocate_with(PyMemAllocatorEx *allocator) {
    PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, allocator);
    PyMem_SetAllocator(PYMEM_DOMAIN_MEM, allocator);
}

static void begin(void) {
    PyMemAllocatorEx buffers, early;
    char *got = mmap(NULL, (PIECES + 1) * PIECE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED) return;
    reserve = (char *)(((uintptr_t)got + PIECE - 1) & ~(PIECE - 1));
    phase = RESERVED;
    PyObject_GetArenaAllocator(&arenas);
    PyObject_SetArenaAllocator(&(PyObjectArenaAllocator){arenas.ctx, arena_alloc, arena_free});
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &below);
    PyMem_GetAllocator(PYMEM_DOMAIN_MEM, &buffers);
    if (memcmp(&buffers, &below, sizeof below) != 0) return; /* somebody else's: it is not sealed then */
    early = (PyMemAllocatorEx){below.ctx, early_malloc, early_calloc, early_realloc, early_free};
    allocate_with(&early);
}

/* Preloaded (LD_PRELOAD) into a program that is Python, but not yet running: its first object lies in the reserve. Imported: nothing. */
__attribute__((constructor)) static void preloaded(void) {
    if (!Py_IsInitialized()) begin();
}

/* --- sealing */

/* Takes every free block of the arenas there are, for ever. obmalloc begins a pool only when no pool of that size has a free block, and an
 * arena only when no arena has a free pool: a block in a new arena proves that in the others nothing of its size is left. */
static int fill(void) {
    phase = FULL;
    for (size_t size = SMALL; size > 0; size -= UNIT) {
        uintptr_t block;
        do {
            block = (uintptr_t)PyObject_Malloc(size);
            if (block == 0) return -1;
        } while (!(block >= fresh_from && block < fresh_to));
    }
    return 0;
}

struct found {
    PyObject **list;
    size_t count, room;
};

/* Remembers an object of the reserve, once, and makes it immortal. */
static int note(PyObject *object, void *arg) {
    struct found *found = arg;
    if (object == NULL || !is_ours(object)) return 0;
    size_t unit = (size_t)((char *)object - reserve) / UNIT;
    if (counts[unit / 8] & (1u << (unit % 8))) return 0;
    if (found->count == found->room) {
        size_t room = found->room ? found->room * 2 : 65536;
        PyObject **list = realloc(found->list, room * sizeof *list);
        if (list == NULL) return -1;
        found->list = list;
        found->room = room;
    }
    found->list[found->count++] = object;
    counts[unit / 8] |= (uint8_t)(1u << (unit % 8));
    object->ob_refcnt += IMMORTAL;
    return 0;
}

/* What an object refers to. Code tells the collector of nothing, a dict not of keys that are text, and a class not of its names. */
static int look_into(PyObject *object, struct found *found) {
    if (PyCode_Check(object)) {
        PyCodeObject *code = (PyCodeObject *)object;
        PyObject *parts[] = {code->co_consts, code->co_names, code->co_localsplusnames, code->co_localspluskinds, code->co_filename,
                             code->co_name, code->co_qualname, code->co_linetable, code->co_exceptiontable};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (note(parts[i], found) != 0) return -1;
        return 0;
    }
    if (PyDict_Check(object)) {
        PyObject *key, *value;
        Py_ssize_t at = 0;
        while (PyDict_Next(object, &at, &key, &value))
            if (note(key, found) != 0) return -1;
    }
    if (PyType_Check(object) && PyType_HasFeature((PyTypeObject *)object, Py_TPFLAGS_HEAPTYPE)) {
        PyHeapTypeObject *type = (PyHeapTypeObject *)object;
        if (note(type->ht_name, found) != 0 || note(type->ht_qualname, found) != 0) return -1;
    }
    if (PyObject_IS_GC(object) && Py_TYPE(object)->tp_traverse != NULL) return Py_TYPE(object)->tp_traverse(object, note, found);
    return 0;
}

/* Everything that can be reached from a list of all objects the collector knows. */
static int make_immortal(PyObject *all) {
    struct found found = {NULL, 0, 0};
    int bad = 0;
    for (Py_ssize_t i = 0; !bad && i < PyList_GET_SIZE(all); i++) {
        PyObject *object = PyList_GET_ITEM(all, i);
        bad = is_ours(object) ? note(object, &found) : look_into(object, &found);
    }
    for (size_t i = 0; !bad && i < found.count; i++) bad = look_into(found.list[i], &found);
    free(found.list);
    return bad;
}

/* Moves the content into a memfd and maps that in its place. One thread, and nothing of Python's in between: nobody sees it half done. */
static int move(void) {
    int file = memfd_create("zygote", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) return -1;
    int bad = ftruncate(file, (off_t)used);
    for (size_t done = 0; !bad && done < used;) {
        ssize_t wrote = write(file, reserve + done, used - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else if (errno != EINTR)
            bad = -1;
    }
    if (!bad) bad = fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    if (!bad) sealed = mmap(NULL, used, PROT_READ, MAP_PRIVATE, file, 0);
    if (!bad && sealed == MAP_FAILED) bad = -1;
    if (!bad && mmap(reserve, used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED) bad = -1;
    int why = errno;
    close(file);
    errno = why;
    return bad;
}

/* From then on what lies in the reserve stays there. */
static void late_free(void *ctx, void *at) {
    if (!is_ours(at)) below.free(ctx, at);
}

/* How large a block of obmalloc's is nobody knows here: what follows it in the reserve is copied along. */
static void *late_realloc(void *ctx, void *at, size_t size) {
    if (!is_ours(at)) return below.realloc(ctx, at, size);
    void *got = below.malloc(ctx, size);
    size_t left = used - (size_t)((char *)at - reserve);
    if (got != NULL) memcpy(got, at, size < left ? size : left);
    return got;
}

static PyObject *pages_seal(PyObject *Py_UNUSED(self), PyObject *all) {
    PyMemAllocatorEx objects, buffers;
    if (!PyList_CheckExact(all)) return PyErr_Format(PyExc_TypeError, "a list of objects is needed");
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &objects);
    PyMem_GetAllocator(PYMEM_DOMAIN_MEM, &buffers);
    /* Not preloaded, or Python was told to allocate otherwise (PYTHONMALLOC). */
    if (phase != RESERVED || used == 0 || objects.free != early_free || buffers.free != early_free) Py_RETURN_FALSE;
    counts = calloc(1, used / UNIT / 8);
    rests = calloc(used / (size_t)sysconf(_SC_PAGESIZE), sizeof *rests);
    if (counts == NULL || rests == NULL || fill() != 0 || (IMMORTAL && make_immortal(all) != 0)) return PyErr_NoMemory();
    if (move() != 0) return PyErr_SetFromErrno(PyExc_OSError);
    allocate_with(&(PyMemAllocatorEx){below.ctx, below.malloc, below.calloc, late_realloc, late_free});
    phase = SEALED;
    Py_RETURN_TRUE;
}

/* --- sweeping */

/* Whether a page differs from the sealed one in the counts of immortal objects only, or not at all. */
static int is_spare(size_t offset, size_t size) {
    const uint64_t *mine = (const uint64_t *)(reserve + offset), *theirs = (const uint64_t *)(sealed + offset);
    for (size_t word = 0; word < size / 8; word++) {
        if (mine[word] == theirs[word]) continue;
        size_t unit = (offset + word * 8) / UNIT;
        if (word % 2 || !(counts[unit / 8] & (1u << (unit % 8)))) return 0;
    }
    return 1;
}

/* Whether it is worth looking: most pages that are not spare never will be, and each comparison in vain doubles the wait for the next. */
static int is_spare_now(size_t offset, size_t size) {
    size_t at = offset / size;
    if (rests[at].left > 0) {
        rests[at].left--;
        return 0;
    }
    if (is_spare(offset, size)) {
        rests[at].longest = 0;
        return 1;
    }
    rests[at].left = rests[at].longest;
    if (rests[at].longest < LONGEST) rests[at].longest = (uint8_t)(rests[at].longest * 2 + 1);
    return 0;
}

static PyObject *pages_sweep(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none)) {
    uint64_t entries[CHUNK];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), own = 0, dropped = 0, from = 0, run = 0;
    if (phase != SEALED) return Py_BuildValue("ii", 0, 0);
    int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (file < 0) return PyErr_SetFromErrno(PyExc_OSError);
    for (size_t offset = 0, i = CHUNK; offset < used; offset += page, i++) {
        if (i == CHUNK) {
            i = 0;
            memset(entries, 0, sizeof entries);
            if (pread(file, entries, sizeof entries, (off_t)((uintptr_t)(reserve + offset) / page * 8)) < 0) break;
        }
        /* In memory, and not the memfd's (the kernel's Documentation/admin-guide/mm/pagemap.rst): a copy. */
        if (entries[i] >> 63 && !(entries[i] >> 61 & 1)) {
            own += page;
            if (is_spare_now(offset, page)) {
                if (run == 0) from = offset;
                run += page;
                dropped += page;
                continue;
            }
        }
        if (run) madvise(reserve + from, run, MADV_DONTNEED);
        run = 0;
    }
    if (run) madvise(reserve + from, run, MADV_DONTNEED);
    madvise(sealed, used, MADV_DONTNEED); /* what was looked at is no longer mapped twice */
    close(file);
    return Py_BuildValue("nn", (Py_ssize_t)own, (Py_ssize_t)dropped);
}

static PyObject *pages_ready(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(phase == RESERVED);
}

static PyMethodDef functions[] = {
    {"ready", pages_ready, METH_NOARGS, "Whether this program was started with the reserve, and it is not sealed."},
    {"seal", pages_seal, METH_O, "Seals the reserve; takes a list of all tracked objects. Whether it was done: only where `ready`, and once."},
    {"sweep", pages_sweep, METH_NOARGS, "Drops spare copies; (bytes that were copied, bytes of them dropped)."},
    {NULL, NULL, 0, NULL},
};
#else
static PyMethodDef functions[] = {{NULL, NULL, 0, NULL}};
#endif

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_pages", "Memory that forked workers give back to the zygote.", -1, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__pages(void) { return PyModule_Create(&module); }

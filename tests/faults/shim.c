/* Preloaded into the process under test: makes the n-th call of one kind fail.
 *
 * The plan and the counts live in a file mapped by all processes of a run, FAULT_STATE, so that n
 * counts over all of them; only files below FAULT_ROOT count. The test arms it by writing into the
 * file. Build: cc -shared -fPIC -O1 -o shim.so shim.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE = 0, WRITE = 1, RENAME = 2, SYNC = 3, ALLOC = 4 };

struct plan {
    volatile int64_t kind;      /* which calls count; NONE: nothing happens */
    volatile int64_t at;        /* the one that fails, from 1; 0: only count */
    volatile int64_t error;     /* its errno */
    volatile int64_t least;     /* allocations below this size do not count [bytes] */
    volatile int64_t count;
    volatile int64_t fired;
};

static struct plan *plan;
static char root[4096];
static size_t root_length;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("FAULT_STATE"), *folder = getenv("FAULT_ROOT");
    if (!file || !folder) return;
    int handle = open(file, O_RDWR | O_CLOEXEC);
    if (handle < 0) return;
    void *found = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    close(handle);
    if (found == MAP_FAILED) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    plan = found;
}

static int is_due(int kind) {
    if (!plan || plan->kind != kind) return 0;
    int64_t number = __atomic_add_fetch(&plan->count, 1, __ATOMIC_SEQ_CST);
    if (number != plan->at) return 0;
    plan->fired = 1;
    errno = (int)plan->error;
    return 1;
}

static int below_root(const char *path) {
    return path[0] != '/' || strncmp(path, root, root_length) == 0;
}

static int file_is_due(int kind, int handle) {
    if (!plan || plan->kind != kind) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return path[0] == '/' && below_root(path) && is_due(kind);
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (!next) next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int handle, const void *data, size_t size) {
    NEXT(write);
    return file_is_due(WRITE, handle) ? -1 : next(handle, data, size);
}
ssize_t writev(int handle, const struct iovec *parts, int count) {
    NEXT(writev);
    return file_is_due(WRITE, handle) ? -1 : next(handle, parts, count);
}
ssize_t pwrite(int handle, const void *data, size_t size, off_t offset) {
    NEXT(pwrite);
    return file_is_due(WRITE, handle) ? -1 : next(handle, data, size, offset);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t offset) {
    NEXT(pwrite64);
    return file_is_due(WRITE, handle) ? -1 : next(handle, data, size, offset);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    static ssize_t (*next)(int, int, off_t *, size_t);
    if (!next) next = dlsym(RTLD_NEXT, "sendfile");
    return file_is_due(WRITE, to) ? -1 : next(to, from, offset, size);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    NEXT(copy_file_range);
    return file_is_due(WRITE, to) ? -1 : next(from, a, to, b, size, flags);
}
int rename(const char *from, const char *to) {
    NEXT(rename);
    return below_root(to) && is_due(RENAME) ? -1 : next(from, to);
}
int renameat(int a, const char *from, int b, const char *to) {
    NEXT(renameat);
    return below_root(to) && is_due(RENAME) ? -1 : next(a, from, b, to);
}
int fsync(int handle) {
    NEXT(fsync);
    return file_is_due(SYNC, handle) ? -1 : next(handle);
}
int fdatasync(int handle) {
    NEXT(fdatasync);
    return file_is_due(SYNC, handle) ? -1 : next(handle);
}
int syncfs(int handle) {
    NEXT(syncfs);
    return file_is_due(SYNC, handle) ? -1 : next(handle);
}

static int alloc_is_due(size_t size) {
    return plan && plan->kind == ALLOC && (int64_t)size >= plan->least && is_due(ALLOC);
}
void *malloc(size_t size) {
    return alloc_is_due(size) ? NULL : __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    return alloc_is_due(count * size) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) {
    return alloc_is_due(size) ? NULL : __libc_realloc(old, size);
}
int posix_memalign(void **out, size_t alignment, size_t size) {
    void *found = alloc_is_due(size) ? NULL : __libc_memalign(alignment, size);
    if (!found) return ENOMEM;
    *out = found;
    return 0;
}
void *aligned_alloc(size_t alignment, size_t size) {
    return alloc_is_due(size) ? NULL : __libc_memalign(alignment, size);
}

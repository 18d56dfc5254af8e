/* SPDX-License-Identifier: Apache-2.0 */
/* Every call of the system on an index's way, and every allocation, fails once: the search says so
 * or does without, leaks nothing, and the next one finds what a new index would give. */
#include "made.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

enum { FILES = 12, TOP = 50, CALLS_MAX = 5000 };

/* The call at which something fails; 0: never. */
static unsigned calls, fails_at;
static bool of_memory;

static bool ends(bool memory)
{
    return memory == of_memory && fails_at != 0 && ++calls == fails_at;
}

#define WRAPPED(result, name, parameters)                                                          \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters

WRAPPED(void *, malloc, (size_t size))
{
    return ends(true) ? NULL : __real_malloc(size);
}

WRAPPED(void *, calloc, (size_t count, size_t size))
{
    return ends(true) ? NULL : __real_calloc(count, size);
}

WRAPPED(void *, realloc, (void *memory, size_t size))
{
    return ends(true) ? NULL : __real_realloc(memory, size);
}

WRAPPED(void *, mmap64, (void *at, size_t size, int prot, int flags, int fd, off_t offset))
{
    errno = ENOMEM;
    return ends(false) ? MAP_FAILED : __real_mmap64(at, size, prot, flags, fd, offset);
}

/* A disk that is full has room for a part. */
WRAPPED(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off_t offset))
{
    bool full = ends(false);
    if (full && size > 1)
        return __real_pwrite64(fd, bytes, size / 2, offset) >= 0 ? (errno = ENOSPC, -1) : -1;
    errno = ENOSPC;
    return full ? -1 : __real_pwrite64(fd, bytes, size, offset);
}

WRAPPED(int, ftruncate64, (int fd, off_t size))
{
    errno = EIO;
    return ends(false) ? -1 : __real_ftruncate64(fd, size);
}

WRAPPED(int, fdatasync, (int fd))
{
    errno = EIO;
    return ends(false) ? -1 : __real_fdatasync(fd);
}

WRAPPED(int, rename, (const char *from, const char *to))
{
    errno = EIO;
    return ends(false) ? -1 : __real_rename(from, to);
}

WRAPPED(int, flock, (int fd, int operation))
{
    errno = ENOLCK;
    return ends(false) ? -1 : __real_flock(fd, operation);
}

WRAPPED(ssize_t, read, (int fd, void *bytes, size_t size))
{
    errno = EIO;
    return ends(false) ? -1 : __real_read(fd, bytes, size);
}

static made_context made;

/* The best for a query, or how it failed; `*hits` are the rows' passages. */
static fby_status search(const char *path, fby_index_passage *passages, size_t *found)
{
    const char *roots[] = {"docs"};
    fby_walk walk;
    fby_index index;
    uint64_t *hidden = NULL;
    fby_update_stats stats;
    fby_hit hits[TOP];
    float query[MADE_DIM];
    fby_embedder embedder = made_embedder(&made);
    const fby_walk_options walking = {.file_bytes_max = 1 << 20};
    const fby_update_options options = {.path = path, .target_tokens = 12};

    fby_status status = fby_walk_run(roots, 1, &walking, &walk);
    if (status != FBY_OK)
        return status;
    status = fby_index_update(&options, &embedder, &walk, &index, &hidden, &stats);
    fby_walk_drop(&walk);
    if (status != FBY_OK)
        return status;
    made_vector("alpha beta gamma", 16, query);
    index.rows.hidden = hidden;
    status = fby_rank(&index.rows, query, TOP, 1, hits, found, NULL);
    for (size_t i = 0; i < *found && status == FBY_OK; i++)
        passages[i] = index.passages[hits[i].row];
    fby_index_drop(&index);
    free(hidden);
    return status;
}

static void write_files(int round)
{
    static const char *const words[] = {"alpha", "beta", "gamma", "weir", "mill"};
    for (int i = 0; i < FILES; i++) {
        char path[64], text[256];
        snprintf(path, sizeof path, "docs/%d.md", i);
        snprintf(text, sizeof text, "%s %s %d\n\n%s number %d in round %d\n", words[i % 5],
                 words[(i + round) % 5], i, words[(i * 3) % 5], i, i % 3 == 0 ? round : 0);
        tree_text(path, text);
    }
}

/* A file that could not be read is one that is passed over, and what it says is missing. */
static bool is_said(fby_status status)
{
    return status == FBY_EIO || status == FBY_ENOMEM || status == FBY_EFORMAT || status == FBY_OK;
}

static void fail_each(bool memory)
{
    fby_index_passage passages[2][TOP];
    size_t found[2] = {0, 0};
    unsigned at = 0;

    do {
        write_files((int)at + 1);
        if (at % 5 == 4)
            unlink("index");
        of_memory = memory;
        calls = 0;
        fails_at = ++at;
        fby_status status = search("index", passages[0], &found[0]);
        fails_at = 0;
        if (!is_said(status))
            fail_msg("call %u: %s: %s", at, fby_status_name(status), fby_last_error());
        assert_int_equal(access("index.new", F_OK), -1);

        assert_int_equal(search("index", passages[0], &found[0]), FBY_OK);
        assert_int_equal(search(NULL, passages[1], &found[1]), FBY_OK);
        assert_int_equal(found[0], found[1]);
        assert_memory_equal(passages[0], passages[1], found[0] * sizeof passages[0][0]);
    } while (calls >= at && at < CALLS_MAX);
    assert_true(at > 20 && at < CALLS_MAX);
}

static void any_call_of_the_system_may_fail(void **state)
{
    (void)state;
    fail_each(false);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    fail_each(true);
}

#define IN_A_TREE(test) cmocka_unit_test_setup_teardown(test, tree_begin, tree_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_TREE(any_call_of_the_system_may_fail),
        IN_A_TREE(any_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("search faults", tests, NULL, NULL);
}

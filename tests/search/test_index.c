/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is what is mapped, and nothing else is: cut, changed or made up by someone. */
#include "search/index.h"
#include "made.h"
#include "search/journal.h"
#include "tree.h"

#include <fcntl.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FILES = 3, PASSAGES = 7 };

static const fby_index_key key = {.fingerprint = "made-up", .dim = MADE_DIM, .recipe = 5};

static fby_status journal_row(void *context, size_t i, fby_stored *stored)
{
    fby_journal_at(context, i, stored);
    return FBY_OK;
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void append_made(fby_journal *journal, size_t count, uint64_t first)
{
    for (size_t i = 0; i < count; i++) {
        char text[32];
        float vector[MADE_DIM];
        snprintf(text, sizeof text, "text %llu", (unsigned long long)(first + i));
        made_vector(text, strlen(text), vector);
        fby_hash hash = fby_hash_of(text, strlen(text));
        assert_int_equal(fby_journal_append(journal, &hash, vector, 1), FBY_OK);
    }
    assert_int_equal(fby_journal_map(journal), FBY_OK);
}

static size_t write_made(const char *path)
{
    static const char paths[] = "/a\0/b/c\0/d";
    const fby_index_file files[FILES] = {{.path = 0, .path_size = 2, .first = 0, .passages = 4},
                                         {.path = 3, .path_size = 4, .first = 4, .passages = 0},
                                         {.path = 8, .path_size = 2, .first = 4, .passages = 3}};
    fby_index_passage passages[PASSAGES] = {{.size = 3}};
    for (uint32_t i = 0; i < PASSAGES; i++)
        passages[i] = (fby_index_passage){.begin = i, .size = 5, .first_line = i + 1};

    int journal_fd = open_file("journal"), fd = open_file(path);
    fby_journal journal;
    assert_int_equal(fby_journal_open(journal_fd, "journal", &key, &journal), FBY_OK);
    append_made(&journal, PASSAGES, 0);
    fby_index_content content = {files,    FILES,    paths,       sizeof paths,
                                 passages, PASSAGES, journal_row, &journal};
    assert_int_equal(fby_index_write(fd, path, &key, &content), FBY_OK);
    fby_journal_close(&journal);
    close(journal_fd);
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    close(fd);
    return (size_t)about.st_size;
}

static fby_status map(const char *path, fby_index *index)
{
    int fd = open_file(path);
    fby_status status = fby_index_map(fd, path, index);
    close(fd);
    return status;
}

static void what_was_written_is_there(void **state)
{
    (void)state;
    fby_index index;
    write_made("index");
    assert_int_equal(map("index", &index), FBY_OK);
    assert_int_equal(index.file_count, FILES);
    assert_int_equal(index.rows.count, PASSAGES);
    assert_memory_equal(&index.key, &key, sizeof key);
    assert_string_equal(index.paths + index.files[1].path, "/b/c");
    const size_t files[PASSAGES] = {0, 0, 0, 0, 2, 2, 2};
    for (size_t i = 0; i < PASSAGES; i++) {
        char text[32];
        float vector[MADE_DIM];
        snprintf(text, sizeof text, "text %zu", i);
        made_vector(text, strlen(text), vector);
        assert_memory_equal(index.rows.vectors + i * fby_vector_stride(MADE_DIM), vector,
                            sizeof vector);
        assert_int_equal(index.passages[i].first_line, i + 1);
        assert_int_equal(fby_index_file_of(&index, i), files[i]);
    }
    fby_index_drop(&index);
}

/* Looks at all that an index claims to hold. */
static void use(const fby_index *index)
{
    float query[MADE_DIM];
    fby_hit hits[3];
    size_t found;
    made_vector("text 3", 6, query);
    fby_status status = index->rows.dim == MADE_DIM
                            ? fby_rank(&index->rows, query, 3, 1, hits, &found, NULL)
                            : FBY_OK;
    assert_true(status == FBY_OK || status == FBY_EFORMAT);
    for (size_t i = 0; status == FBY_OK && index->rows.dim == MADE_DIM && i < found; i++) {
        const fby_index_file *file = &index->files[fby_index_file_of(index, hits[i].row)];
        assert_true(strlen(index->paths + file->path) <= file->path_size);
    }
}

static void change(const char *path, size_t at, unsigned char flip)
{
    unsigned char byte;
    int fd = open_file(path);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= flip;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_changed_byte_is_noticed_wherever_it_is(void **state)
{
    (void)state;
    size_t size = write_made("index");
    for (size_t at = 0; at < size; at++) {
        fby_index index;
        float query[MADE_DIM];
        fby_hit hits[PASSAGES];
        size_t found;
        change("index", at, 0x10);
        fby_status status = map("index", &index);
        if (status == FBY_OK) {
            made_vector("text 3", 6, query);
            status = fby_rank(&index.rows, query, PASSAGES, 1, hits, &found, NULL);
            /* Padding between the parts holds nothing. */
            size_t codes = (size_t)((const char *)index.rows.codes - (const char *)index.map);
            size_t vectors = (size_t)((const char *)index.rows.vectors - (const char *)index.map);
            size_t ends = codes + PASSAGES * fby_code_stride(MADE_DIM);
            if (status == FBY_OK)
                assert_true(at >= ends && at < vectors);
            fby_index_drop(&index);
        }
        change("index", at, 0x10);
    }
}

static void a_cut_index_is_refused_at_every_length(void **state)
{
    (void)state;
    size_t size = write_made("index");
    for (size_t cut = size; cut-- > 0;) {
        fby_index index;
        assert_int_equal(truncate("index", (off_t)cut), 0);
        assert_int_equal(map("index", &index), FBY_EFORMAT);
    }
    size = write_made("longer");
    assert_int_equal(truncate("longer", (off_t)size + 1), 0);
    fby_index index;
    assert_int_equal(map("longer", &index), FBY_EFORMAT);
}

/* Numbers changed, and both checks made good again, as a forger would. */
static void a_forged_index_does_no_harm(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    size_t size = write_made("index");
    unsigned char *good = malloc(size), *bytes = malloc(size);
    int fd = open_file("index");
    assert_int_equal(pread(fd, good, size, 0), (ssize_t)size);

    for (int round = 0; round < 20000; round++) {
        memcpy(bytes, good, size);
        fby_index_header header;
        fby_index_layout layout;
        memcpy(&header, good, sizeof header);
        assert_true(fby_index_lay_out(&header, &layout));
        for (uint64_t i = 1 + fby_rng_below(&rng, 3); i > 0; i--) {
            size_t at = 16 + fby_rng_below(&rng, layout.codes - 16);
            at -= at % 4;
            uint32_t values[] = {0, 1, UINT32_MAX, 1u << 31, (uint32_t)fby_rng_next(&rng), 8, 7};
            memcpy(bytes + at, &values[fby_rng_below(&rng, 7)], 4);
        }
        memcpy(&header, bytes, sizeof header);
        header.content = fby_hash_of(bytes + sizeof header, layout.codes - sizeof header);
        header.check = XXH3_64bits(&header, offsetof(fby_index_header, check));
        memcpy(bytes, &header, sizeof header);
        assert_int_equal(pwrite(fd, bytes, size, 0), (ssize_t)size);
        fby_index index;
        if (fby_index_map(fd, "index", &index) == FBY_OK) {
            use(&index);
            fby_index_drop(&index);
        }
    }
    close(fd);
    free(good);
    free(bytes);
}

static size_t reopened(const char *path, const fby_index_key *with)
{
    fby_journal journal;
    int fd = open_file(path);
    assert_int_equal(fby_journal_open(fd, path, with, &journal), FBY_OK);
    size_t count = journal.count;
    for (size_t i = 0; i < count; i++) {
        char text[32];
        float vector[MADE_DIM];
        fby_stored stored;
        snprintf(text, sizeof text, "text %zu", i);
        fby_hash hash = fby_hash_of(text, strlen(text)),
                 found = fby_journal_at(&journal, i, &stored);
        made_vector(text, strlen(text), vector);
        assert_memory_equal(&hash, &found, sizeof hash);
        assert_memory_equal(stored.vector, vector, sizeof vector);
        assert_true(fby_stored_is_whole(&stored, MADE_DIM));
    }
    fby_journal_close(&journal);
    close(fd);
    return count;
}

static void a_journal_keeps_what_is_whole(void **state)
{
    (void)state;
    size_t size = 0, record = 0;
    for (size_t cut = 0; cut == 0 || cut < size; cut++) {
        fby_journal journal;
        unlink("journal");
        int fd = open_file("journal");
        assert_int_equal(fby_journal_open(fd, "journal", &key, &journal), FBY_OK);
        append_made(&journal, 5, 0);
        record = journal.record_bytes;
        size = 6 * record;
        fby_journal_close(&journal);
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        close(fd);
        assert_int_equal(reopened("journal", &key), cut < record ? 0 : cut / record - 1);
    }
}

static void a_journals_changed_record_ends_it(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 300; round++) {
        fby_journal journal;
        unlink("journal");
        int fd = open_file("journal");
        assert_int_equal(fby_journal_open(fd, "journal", &key, &journal), FBY_OK);
        append_made(&journal, 5, 0);
        size_t at = journal.record_bytes + fby_rng_below(&rng, 5 * journal.record_bytes);
        size_t whole = at / journal.record_bytes - 1;
        fby_journal_close(&journal);
        close(fd);
        change("journal", at, (unsigned char)(1u << fby_rng_below(&rng, 8)));
        assert_int_equal(reopened("journal", &key), whole);
    }
}

static void a_journal_of_another_model_is_begun_anew(void **state)
{
    (void)state;
    fby_journal journal;
    fby_index_key other = key;
    int fd = open_file("journal");
    assert_int_equal(fby_journal_open(fd, "journal", &key, &journal), FBY_OK);
    append_made(&journal, 5, 0);
    fby_journal_close(&journal);
    close(fd);
    other.fingerprint[0] = 'M';
    assert_int_equal(reopened("journal", &other), 0);
    assert_int_equal(reopened("journal", &key), 0);
}

int main(void)
{
#define IN_A_TREE(test) cmocka_unit_test_setup_teardown(test, tree_begin, tree_end)
    const struct CMUnitTest tests[] = {
        IN_A_TREE(what_was_written_is_there),
        IN_A_TREE(a_changed_byte_is_noticed_wherever_it_is),
        IN_A_TREE(a_cut_index_is_refused_at_every_length),
        IN_A_TREE(a_forged_index_does_no_harm),
        IN_A_TREE(a_journal_keeps_what_is_whole),
        IN_A_TREE(a_journals_changed_record_ends_it),
        IN_A_TREE(a_journal_of_another_model_is_begun_anew),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}

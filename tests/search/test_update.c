/* SPDX-License-Identifier: Apache-2.0 */
/* An index beside the files that it is made of: what is embedded, what is not, and that after
 * whatever happened a search finds what a new index would give. */
#include "search/update.h"
#include "made.h"
#include "tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { TOP = 20 };

static made_context made;
static char notes[1024];
static size_t passed[FBY_PASSED_KINDS];

static void note(void *context, const char *text)
{
    (void)context;
    snprintf(notes + strlen(notes), sizeof notes - strlen(notes), "%s\n", text);
}

static void pass(void *context, const char *shown, fby_passed_over why)
{
    (void)context;
    (void)shown;
    passed[why]++;
}

struct asked {
    const char *path, *globs;
    bool (*go_on)(void *context, const fby_update_stats *stats);
    fby_update_stats stats;
    fby_index index;
    uint64_t *hidden;
};

static fby_status update(struct asked *asked)
{
    const char *roots[] = {"docs"};
    fby_walk walk;
    fby_walk_options walking = {.globs = asked->globs, .file_bytes_max = 1 << 20};
    fby_update_options options = {.path = asked->path,
                                  .target_tokens = 12,
                                  .go_on = asked->go_on,
                                  .note = note,
                                  .passed_over = pass};
    fby_embedder embedder = made_embedder(&made);

    notes[0] = '\0';
    memset(passed, 0, sizeof passed);
    assert_int_equal(fby_walk_run(roots, 1, &walking, &walk), FBY_OK);
    fby_status status =
        fby_index_update(&options, &embedder, &walk, &asked->index, &asked->hidden, &asked->stats);
    fby_walk_drop(&walk);
    return status;
}

static void release(struct asked *asked)
{
    fby_index_drop(&asked->index);
    free(asked->hidden);
    asked->hidden = NULL;
}

/* Updates and forgets; what it did. */
static fby_update_stats updated(void)
{
    struct asked asked = {.path = "index"};
    if (update(&asked) != FBY_OK)
        fail_msg("%s", fby_last_error());
    release(&asked);
    return asked.stats;
}

static size_t best_of(struct asked *asked, fby_hit *hits)
{
    float query[MADE_DIM];
    size_t found = 0;
    made_vector("alpha beta gamma", 16, query);
    asked->index.rows.hidden = asked->hidden;
    assert_int_equal(fby_rank(&asked->index.rows, query, TOP, 1, hits, &found, NULL), FBY_OK);
    return found;
}

/* Updates, and compares with an index that is made from nothing. */
static fby_update_stats same_as_new(void)
{
    struct asked kept = {.path = "index"}, fresh = {0};
    fby_hit hits[2][TOP];
    if (update(&kept) != FBY_OK)
        fail_msg("%s", fby_last_error());
    char said[sizeof notes];
    memcpy(said, notes, sizeof notes);
    assert_int_equal(update(&fresh), FBY_OK);
    memcpy(notes, said, sizeof notes);

    assert_int_equal(kept.index.rows.count, fresh.index.rows.count);
    assert_int_equal(kept.index.file_count, fresh.index.file_count);
    for (size_t i = 0; i < kept.index.rows.count; i++)
        assert_memory_equal(&kept.index.passages[i], &fresh.index.passages[i],
                            sizeof kept.index.passages[i]);
    size_t found = best_of(&kept, hits[0]);
    assert_int_equal(found, best_of(&fresh, hits[1]));
    assert_memory_equal(hits[0], hits[1], found * sizeof hits[0][0]);
    release(&kept);
    release(&fresh);
    return kept.stats;
}

static void write_words(fby_rng *rng, const char *path)
{
    static const char *const words[] = {"alpha", "beta", "gamma",    "delta", "one",  "two.",
                                        "Three", "\n\n", "# Head\n", "weir",  "mill", "sluice\n"};
    char text[4096];
    size_t used = 0;
    for (uint64_t i = fby_rng_below(rng, 120); i > 0; i--)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s ", words[fby_rng_below(rng, 12)]);
    tree_write(path, text, used);
}

static void make_tree(fby_rng *rng, int files)
{
    char path[64];
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof path, "docs/%d/%d.md", i % 7, i);
        write_words(rng, path);
    }
}

/* Beyond the tick within which a mark is not trusted. */
static void let_the_clock_tick(void)
{
    usleep(FBY_MARK_TICK_NS / 1000 * 2);
}

static void nothing_is_embedded_twice(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    make_tree(&rng, 40);
    tree_text("docs/one.md", "something new that nobody said before\n");
    let_the_clock_tick();
    fby_update_stats first = same_as_new();
    assert_true(first.embedded > 0 && first.written);
    assert_int_equal(first.files_read, 41);

    fby_update_stats second = updated();
    assert_int_equal(second.files_read, 0);
    assert_false(second.written);

    assert_int_equal(utimensat(AT_FDCWD, "docs/one.md", NULL, 0), 0);
    let_the_clock_tick();
    fby_update_stats touched = updated();
    assert_int_equal(touched.files_read, 1);
    assert_int_equal(touched.embedded, 0);
    assert_int_equal(updated().files_read, 0);

    assert_int_equal(rename("docs/one.md", "docs/other.md"), 0);
    fby_update_stats moved = same_as_new();
    assert_int_equal(moved.files_read, 1);
    assert_int_equal(moved.embedded, 0);
    assert_int_equal(moved.reused, 1);

    assert_int_equal(unlink("docs/other.md"), 0);
    fby_update_stats removed = same_as_new();
    assert_int_equal(removed.files_read, 0);
    assert_true(removed.written);
}

static void a_change_within_the_clocks_tick_is_seen(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        tree_text("docs/a.md", "first words");
        updated();
        tree_text("docs/a.md", "other words");
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
        assert_int_equal(utimensat(AT_FDCWD, "docs/a.md", times, 0), 0);
        same_as_new();
    }
}

static void random_changes_give_what_a_new_index_gives(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    make_tree(&rng, 20);
    for (int round = 0; round < 60; round++) {
        for (uint64_t i = fby_rng_below(&rng, 6); i > 0; i--) {
            char path[64], other[64];
            int file = (int)fby_rng_below(&rng, 25), to = (int)fby_rng_below(&rng, 25);
            snprintf(path, sizeof path, "docs/%d/%d.md", file % 7, file);
            snprintf(other, sizeof other, "docs/%d/%d.md", to % 7, to);
            switch (fby_rng_below(&rng, 4)) {
            case 0:
                unlink(path);
                break;
            case 1:
                (void)rename(path, other);
                break;
            default:
                write_words(&rng, path);
            }
        }
        same_as_new();
    }
}

static void files_that_the_globs_leave_out_stay_in_the_index(void **state)
{
    (void)state;
    tree_text("docs/a.md", "alpha");
    tree_text("docs/b.txt", "alpha beta");
    let_the_clock_tick();
    updated();
    struct asked some = {.path = "index", .globs = "*.md"};
    fby_hit hits[TOP];
    assert_int_equal(update(&some), FBY_OK);
    assert_false(some.stats.written);
    assert_int_equal(best_of(&some, hits), 1);
    assert_string_equal(
        strrchr(some.index.paths +
                    some.index.files[fby_index_file_of(&some.index, hits[0].row)].path,
                '/'),
        "/a.md");
    release(&some);

    tree_text("docs/b.txt", "gamma");
    assert_int_equal(update(&some), FBY_OK);
    assert_int_equal(some.stats.embedded, 0);
    release(&some);
    assert_int_equal(same_as_new().embedded, 1);
}

static void what_holds_no_text_is_told_each_time_and_read_once(void **state)
{
    (void)state;
    tree_write("docs/binary", "\0\1\2", 3);
    tree_text("docs/empty", "");
    tree_text("docs/shut", "x");
    tree_text("docs/a.md", "alpha");
    chmod("docs/shut", 0);
    bool shut = access("docs/shut", R_OK) != 0;
    let_the_clock_tick();
    for (int round = 0; round < 2; round++) {
        fby_update_stats stats = updated();
        assert_int_equal(stats.files_read, round == 0 ? 4 : 0);
        assert_int_equal(passed[FBY_PASSED_BINARY], 1);
        assert_int_equal(passed[FBY_PASSED_UNREADABLE], shut ? 1 : 0);
    }
    chmod("docs/shut", 0600);
    assert_int_equal(same_as_new().embedded, shut ? 1 : 0);
    assert_int_equal(passed[FBY_PASSED_UNREADABLE], 0);
}

static void an_empty_tree_is_an_index_of_nothing(void **state)
{
    (void)state;
    fby_hit hits[TOP];
    struct asked asked = {.path = "index"};
    mkdir("docs", 0777);
    assert_int_equal(update(&asked), FBY_OK);
    assert_int_equal(best_of(&asked, hits), 0);
    release(&asked);
}

static void a_damaged_index_is_said_and_made_anew(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    make_tree(&rng, 10);
    let_the_clock_tick();
    for (int round = 0; round < 60; round++) {
        struct stat about;
        updated();
        assert_int_equal(stat("index", &about), 0);
        int fd = open("index", O_RDWR);
        if (round % 3 == 0) {
            assert_int_equal(ftruncate(fd, (off_t)fby_rng_below(&rng, (uint64_t)about.st_size)), 0);
        } else {
            unsigned char byte, at_random = (unsigned char)(1 + fby_rng_below(&rng, 255));
            /* Before the vectors, which nobody reads as long as nothing has changed. */
            off_t at = (off_t)fby_rng_below(&rng, 120 + 10 * 88);
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte ^= at_random;
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
        same_as_new();
        assert_non_null(strstr(notes, "made anew"));
    }
}

/* Vectors are taken over only whole: those that are not are embedded again. */
static void damaged_vectors_are_embedded_again(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    make_tree(&rng, 10);
    for (int round = 0; round < 30; round++) {
        struct asked asked = {.path = "index"};
        char path[] = "docs/new-0.md";
        path[9] = (char)('a' + round % 26);
        tree_text(path, "alpha beta");
        let_the_clock_tick();
        assert_int_equal(update(&asked), FBY_OK);
        size_t row = fby_rng_below(&rng, asked.index.rows.count);
        const char *byte =
            (const char *)(asked.index.rows.vectors + row * fby_vector_stride(MADE_DIM)) +
            fby_rng_below(&rng, MADE_DIM * 4);
        off_t at = byte - (const char *)asked.index.map;
        char changed = (char)(*byte ^ 4);
        release(&asked);
        int fd = open("index", O_RDWR);
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        close(fd);

        path[9] = (char)('A' + round % 26); /* makes it take the others over */
        tree_text(path, "gamma");
        fby_update_stats stats = same_as_new();
        assert_non_null(strstr(notes, "damaged"));
        assert_true(stats.embedded <= 2);
    }
}

static void another_models_index_is_said_and_made_anew(void **state)
{
    (void)state;
    tree_text("docs/a.md", "alpha");
    updated();
    int fd = open("index", O_RDWR);
    fby_index index;
    assert_int_equal(fby_index_map(fd, "index", &index), FBY_OK);
    fby_index_key key = index.key;
    fby_index_drop(&index);
    assert_int_equal(ftruncate(fd, 0), 0);
    memcpy(key.fingerprint, "another", 8);
    fby_index_content nothing = {0};
    assert_int_equal(fby_index_write(fd, "index", &key, &nothing), FBY_OK);
    close(fd);
    fby_update_stats stats = same_as_new();
    assert_int_equal(stats.embedded, 1);
    assert_non_null(strstr(notes, "another model"));
}

static bool stop_now(void *context, const fby_update_stats *stats)
{
    (void)context;
    return stats->embedded == 0;
}

static void what_was_embedded_before_a_stop_is_kept(void **state)
{
    (void)state;
    char path[64];
    for (int i = 0; i < 600; i++) {
        char text[64];
        snprintf(path, sizeof path, "docs/%d.md", i);
        snprintf(text, sizeof text, "passage number %d", i);
        tree_text(path, text);
    }
    struct asked asked = {.path = "index", .go_on = stop_now};
    assert_int_equal(update(&asked), FBY_ECANCELED);
    assert_int_equal(asked.stats.kept, 64);
    made.texts = 0;
    assert_int_equal(updated().embedded, 600 - 64);
    assert_int_equal(made.texts, 600 - 64);
    assert_int_not_equal(access("index.journal", F_OK), 0);
}

static pid_t start_update(unsigned pause_us)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    struct asked asked = {.path = "index"};
    made.pause_us = pause_us;
    _exit(update(&asked) == FBY_OK ? 0 : 1);
}

static void killed_at_any_moment_the_next_run_is_right(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    make_tree(&rng, 150);
    for (int round = 0; round < 40; round++) {
        pid_t child = start_update(200);
        usleep((unsigned)fby_rng_below(&rng, 12000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        same_as_new();
        for (uint64_t i = fby_rng_below(&rng, 60); i > 0; i--) {
            char path[64];
            int file = (int)fby_rng_below(&rng, 150);
            snprintf(path, sizeof path, "docs/%d/%d.md", file % 7, file);
            write_words(&rng, path);
        }
        if (round % 10 == 9)
            unlink("index");
    }
}

static void several_at_once_agree(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    for (int round = 0; round < 8; round++) {
        pid_t children[4];
        make_tree(&rng, 60);
        for (int i = 0; i < 4; i++)
            children[i] = start_update(500);
        for (int i = 0; i < 4; i++) {
            int status = -1;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        same_as_new();
    }
}

static void where_no_index_can_be_kept_it_is_said(void **state)
{
    (void)state;
    tree_text("docs/a.md", "alpha");
    struct asked asked = {.path = "nowhere/index"};
    assert_int_equal(update(&asked), FBY_EIO);
    assert_non_null(strstr(fby_last_error(), "nowhere/index"));
}

int main(void)
{
#define IN_A_TREE(test) cmocka_unit_test_setup_teardown(test, tree_begin, tree_end)
    const struct CMUnitTest tests[] = {
        IN_A_TREE(nothing_is_embedded_twice),
        IN_A_TREE(a_change_within_the_clocks_tick_is_seen),
        IN_A_TREE(random_changes_give_what_a_new_index_gives),
        IN_A_TREE(files_that_the_globs_leave_out_stay_in_the_index),
        IN_A_TREE(what_holds_no_text_is_told_each_time_and_read_once),
        IN_A_TREE(an_empty_tree_is_an_index_of_nothing),
        IN_A_TREE(a_damaged_index_is_said_and_made_anew),
        IN_A_TREE(damaged_vectors_are_embedded_again),
        IN_A_TREE(another_models_index_is_said_and_made_anew),
        IN_A_TREE(what_was_embedded_before_a_stop_is_kept),
        IN_A_TREE(killed_at_any_moment_the_next_run_is_right),
        IN_A_TREE(several_at_once_agree),
        IN_A_TREE(where_no_index_can_be_kept_it_is_said),
    };
    return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}

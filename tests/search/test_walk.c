/* SPDX-License-Identifier: Apache-2.0 */
#include "search/walk.h"
#include "search/ignore.h"
#include "tree.h"

static size_t passed[FBY_PASSED_KINDS];

static void count_passed(void *context, const char *shown, fby_passed_over why)
{
    (void)context;
    (void)shown;
    passed[why]++;
}

/* The seen files as the user would write them, joined by blanks. */
static const char *walked(const char *const *roots, size_t count, fby_walk_options options)
{
    static char line[4096];
    fby_walk walk;
    options.passed_over = count_passed;
    if (options.file_bytes_max == 0)
        options.file_bytes_max = 1000;
    memset(passed, 0, sizeof passed);
    if (fby_walk_run(roots, count, &options, &walk) != FBY_OK)
        return fby_last_error();
    size_t used = 0;
    line[0] = '\0';
    for (size_t i = 0; i < walk.count; i++) {
        char shown[PATH_MAX];
        if (!walk.files[i].seen)
            continue;
        fby_walk_shown(&walk, &walk.files[i], shown, sizeof shown);
        used +=
            (size_t)snprintf(line + used, sizeof line - used, "%s%s", used > 0 ? " " : "", shown);
    }
    fby_walk_drop(&walk);
    return line;
}

static const char *from(const char *root, fby_walk_options options)
{
    return walked(&root, 1, options);
}

static const fby_walk_options plain = {0};

static void files_come_sorted_and_shown_as_their_root_was_written(void **state)
{
    (void)state;
    tree_text("b.md", "x");
    tree_text("a/c.md", "x");
    tree_text("a/b/d.md", "x");
    tree_text("a-b.md", "x");
    assert_string_equal(walked(NULL, 0, plain), "a-b.md a/b/d.md a/c.md b.md");
    assert_string_equal(from(".", plain), "./a-b.md ./a/b/d.md ./a/c.md ./b.md");
    assert_string_equal(from("a/", plain), "a/b/d.md a/c.md");
    assert_string_equal(from("a/../b.md", plain), "a/../b.md");
    const char *both[] = {"a", "b.md", "a/b"};
    assert_string_equal(walked(both, 3, plain), "a/b/d.md a/c.md b.md");
}

static void hidden_names_and_links_are_left_out(void **state)
{
    (void)state;
    tree_text("seen", "x");
    tree_text(".hidden/x", "x");
    tree_text(".git/config", "x");
    assert_int_equal(symlink(".", "loop"), 0);
    assert_int_equal(symlink("seen", "link"), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_string_equal(walked(NULL, 0, plain), "seen");
    assert_string_equal(walked(NULL, 0, (fby_walk_options){.hidden = true}), ".hidden/x seen");
    assert_string_equal(from("link", plain), "link");
    assert_string_equal(from(".hidden", plain), ".hidden/x");
    assert_non_null(strstr(from("fifo", plain), "neither a file nor a directory"));
}

static void gitignore_files_are_obeyed_inside_and_above(void **state)
{
    (void)state;
    tree_text(".git/info/exclude", "secret\n");
    tree_text(".gitignore", "*.o\n/build/\n# words\n\ndocs/*.tmp\n!keep.o\nlogs/\n\\#x\n");
    tree_text("a.c", "x");
    tree_text("a.o", "x");
    tree_text("keep.o", "x");
    tree_text("#x", "x");
    tree_text("secret", "x");
    tree_text("build/x", "x");
    tree_text("sub/build/y", "x");
    tree_text("sub/logs/z", "x");
    tree_text("sub/logs.md", "x");
    tree_text("docs/a.tmp", "x");
    tree_text("docs/deep/a.tmp", "x");
    tree_text("sub/.gitignore", "!b.o\n/only\n");
    tree_text("sub/b.o", "x");
    tree_text("sub/only", "x");
    tree_text("sub/deep/only", "x");
    assert_string_equal(walked(NULL, 0, plain), "a.c docs/deep/a.tmp keep.o sub/b.o sub/build/y "
                                                "sub/deep/only sub/logs.md");
    assert_string_equal(from("sub", plain), "sub/b.o sub/build/y sub/deep/only sub/logs.md");
    assert_string_equal(from("a.o", plain), "a.o");
    assert_string_equal(from("build", plain), "build/x");
    assert_string_equal(from("docs", (fby_walk_options){.no_ignore = true}),
                        "docs/a.tmp docs/deep/a.tmp");
}

static void globs_say_what_is_seen_and_the_rest_is_known_all_the_same(void **state)
{
    (void)state;
    tree_text("a.md", "x");
    tree_text("a.c", "x");
    tree_text("old/b.md", "x");
    tree_text("docs/c.txt", "x");
    assert_string_equal(walked(NULL, 0, (fby_walk_options){.globs = "*.md"}), "a.md old/b.md");
    assert_string_equal(walked(NULL, 0, (fby_walk_options){.globs = "!*.md"}), "a.c docs/c.txt");
    assert_string_equal(walked(NULL, 0, (fby_walk_options){.globs = "*.md,!old"}), "a.md");
    assert_string_equal(walked(NULL, 0, (fby_walk_options){.globs = "docs/**,*.c"}),
                        "a.c docs/c.txt");
    assert_non_null(strstr(walked(NULL, 0, (fby_walk_options){.globs = "*.md,["}), "cannot match"));

    fby_walk walk;
    fby_walk_options options = {.globs = "*.md", .file_bytes_max = 100};
    assert_int_equal(fby_walk_run(NULL, 0, &options, &walk), FBY_OK);
    assert_int_equal(walk.count, 4);
    fby_walk_drop(&walk);
}

static void what_is_passed_over_is_told(void **state)
{
    (void)state;
    tree_text("small", "x");
    tree_text("large", "0123456789");
    tree_text("shut/x", "x");
    chmod("shut", 0);
    assert_string_equal(walked(NULL, 0, (fby_walk_options){.file_bytes_max = 9}),
                        access("shut", R_OK) == 0 ? "shut/x small" : "small");
    assert_int_equal(passed[FBY_PASSED_HUGE], 1);
    if (access("shut", R_OK) != 0)
        assert_int_equal(passed[FBY_PASSED_UNREADABLE], 1);
    chmod("shut", 0700);
}

static void a_tree_that_is_deeper_than_any_path_ends(void **state)
{
    (void)state;
    tree_text("x", "x");
    for (int i = 0; i < 300; i++) {
        assert_int_equal(mkdir("d", 0777), 0);
        assert_int_equal(chdir("d"), 0);
    }
    assert_int_equal(chdir(tree), 0);
    assert_string_equal(walked(NULL, 0, plain), "x");
    assert_int_equal(passed[FBY_PASSED_UNREADABLE], 1);
}

static void a_root_that_is_not_there_is_named(void **state)
{
    (void)state;
    assert_non_null(strstr(from("nowhere", plain), "nowhere"));
    assert_int_equal(symlink("itself", "itself"), 0);
    assert_non_null(strstr(from("itself", plain), "itself"));
}

static void names_may_hold_any_byte(void **state)
{
    (void)state;
    tree_text("a\nb", "x");
    tree_text("\xff\xfe", "x");
    tree_text("*[", "x");
    assert_string_equal(walked(NULL, 0, plain), "*[ a\nb \xff\xfe");
}

int main(void)
{
#define IN_A_TREE(test) cmocka_unit_test_setup_teardown(test, tree_begin, tree_end)
    const struct CMUnitTest tests[] = {
        IN_A_TREE(files_come_sorted_and_shown_as_their_root_was_written),
        IN_A_TREE(hidden_names_and_links_are_left_out),
        IN_A_TREE(gitignore_files_are_obeyed_inside_and_above),
        IN_A_TREE(globs_say_what_is_seen_and_the_rest_is_known_all_the_same),
        IN_A_TREE(what_is_passed_over_is_told),
        IN_A_TREE(a_tree_that_is_deeper_than_any_path_ends),
        IN_A_TREE(a_root_that_is_not_there_is_named),
        IN_A_TREE(names_may_hold_any_byte),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}

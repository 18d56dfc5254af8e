/* SPDX-License-Identifier: Apache-2.0 */
#include "search/glob.h"
#include "test.h"

static bool matches(const char *pattern, const char *path)
{
    fby_glob *glob = NULL;
    if (fby_glob_compile(pattern, strlen(pattern), &glob) != FBY_OK)
        fail_msg("%s: %s", pattern, fby_last_error());
    bool matched = fby_glob_matches(glob, path, strlen(path));
    fby_glob_free(glob);
    return matched;
}

/* gitignore(5)'s own examples, and those of git's t/t3070-wildmatch.sh that it has words for. */
static void patterns_mean_what_gitignore_says(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        {"foo", "foo", true},
        {"foo", "bar", false},
        {"", "", true},
        {"???", "foo", true},
        {"??", "foo", false},
        {"*", "foo", true},
        {"f*", "foo", true},
        {"*f", "foo", false},
        {"*foo*", "foo", true},
        {"*ob*a*r*", "foobar", true},
        {"*ab", "aaaaaaabababab", true},
        {"foo\\*", "foo*", true},
        {"foo\\*bar", "foobar", false},
        {"f\\\\oo", "f\\oo", true},
        {"*[al]?", "ball", true},
        {"[ten]", "ten", false},
        {"**[!tx]", "ten", true},
        {"**[!ten]", "ten", false},
        {"t[a-g]n", "ten", true},
        {"t[!a-g]n", "ten", false},
        {"t[!a-g]n", "ton", true},
        {"t[^a-g]n", "ton", true},
        {"a[]]b", "a]b", true},
        {"a[]-]b", "a-b", true},
        {"a[]a-]b", "aab", true},
        {"]", "]", true},
        {"[[:digit:][:upper:]]x", "7x", true},
        {"[[:digit:][:upper:]]x", "gx", false},
        {"[\\-_]", "-", true},
        {"[a-]", "-", true},
        {"foo*bar", "foo/baz/bar", false},
        {"foo**bar", "foo/baz/bar", false},
        {"foo**bar", "foobazbar", true},
        {"foo/**/bar", "foo/baz/bar", true},
        {"foo/**/**/bar", "foo/b/a/z/bar", true},
        {"foo/**/bar", "foo/b/a/z/bar", true},
        {"foo/**/bar", "foo/bar", true},
        {"foo/**/bar", "foobar", false},
        {"foo?bar", "foo/bar", false},
        {"foo[/]bar", "foo/bar", false},
        {"foo[^a-z]bar", "foo/bar", false},
        {"**/foo", "foo", true},
        {"**/foo", "XXX/foo", true},
        {"**/foo", "bar/baz/foo", true},
        {"**/foo", "bar/bazfoo", false},
        {"*/foo", "bar/baz/foo", false},
        {"**/bar*", "foo/bar/baz", false},
        {"**/bar/*", "deep/foo/bar/baz", true},
        {"**/bar/**", "deep/foo/bar/baz/x", true},
        {"**/bar/**", "deep/foo/bar", false},
        {"abc/**", "abc/x", true},
        {"abc/**", "abc/x/y", true},
        {"abc/**", "abc/", false},
        {"**", "a/b/c", true},
        {"*.c", "a.c", true},
        {"*.c", "d/a.c", false},
        {"*.c", ".c", true},
        {"-*-*-*-*-*-*-12-*-*-*-m-*-*-*",
         "-adobe-courier-bold-o-normal--12-120-75-75-m-70-iso8859-1", true},
        {"-*-*-*-*-*-*-12-*-*-*-m-*-*-*",
         "-adobe-courier-bold-o-normal--12-120-75-75-X-70-iso8859-1", false},
        {"**/*a*b*g*n*t", "abcd/abcdefg/abcdefghijk/abcdefghijklmnop.txt", true},
        {"**/*a*b*g*n*t", "abcd/abcdefg/abcdefghijk/abcdefghijklmnop.txtz", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (matches(cases[i].pattern, cases[i].path) != cases[i].matches)
            fail_msg("%s on %s: not %d", cases[i].pattern, cases[i].path, cases[i].matches);
}

static void a_pattern_that_cannot_match_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[", "a[b", "[!", "[]", "a\\", "[[:nope:]]", "[a\\"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fby_glob *glob = NULL;
        assert_int_equal(fby_glob_compile(wrong[i], strlen(wrong[i]), &glob), FBY_EINVAL);
        assert_null(glob);
    }
    char longest[FBY_GLOB_STEPS];
    fby_glob *glob = NULL;
    memset(longest, '*', sizeof longest);
    assert_int_equal(fby_glob_compile(longest, sizeof longest, &glob), FBY_EINVAL);
}

/* Plainly: every way of giving a star its bytes. */
static bool plain(const char *p, const char *s, bool start)
{
    if (*p == '\0')
        return *s == '\0';
    if (start && strncmp(p, "**/", 3) == 0) {
        if (plain(p + 3, s, true))
            return true;
        for (; *s != '\0'; s++)
            if (*s == '/' && plain(p + 3, s + 1, true))
                return true;
        return false;
    }
    if (*p == '*') {
        do {
            if (plain(p + 1, s, false))
                return true;
        } while (*s != '\0' && *s++ != '/');
        return false;
    }
    return *s != '\0' && (*p == *s || (*p == '?' && *s != '/')) && plain(p + 1, s + 1, *p == '/');
}

static void random_patterns_match_as_a_plain_matcher_does(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static const char *const pieces[] = {"a", "b", "?", "*", "/", "/**/", "ab"};
    for (int round = 0; round < 200000; round++) {
        char pattern[64] = "", path[32] = "";
        if (fby_rng_below(&rng, 4) == 0)
            strcat(pattern, "**/");
        for (uint64_t i = fby_rng_below(&rng, 7); i > 0; i--) {
            const char *piece = pieces[fby_rng_below(&rng, 7)];
            size_t size = strlen(pattern);
            /* Stars and slashes side by side would be other patterns than their pieces. */
            if (size > 0 && (pattern[size - 1] == '*' || pattern[size - 1] == '/') &&
                (piece[0] == '*' || piece[0] == '/'))
                continue;
            strcat(pattern, piece);
        }
        for (uint64_t i = fby_rng_below(&rng, 12); i > 0; i--)
            strcat(path, (const char *[]){"a", "b", "/"}[fby_rng_below(&rng, 3)]);
        if (matches(pattern, path) != plain(pattern, path, true))
            fail_msg("%s on %s", pattern, path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_what_gitignore_says),
        cmocka_unit_test(a_pattern_that_cannot_match_is_refused),
        cmocka_unit_test(random_patterns_match_as_a_plain_matcher_does),
    };
    return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}

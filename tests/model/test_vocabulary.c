/* SPDX-License-Identifier: Apache-2.0 */
#include "model/vocabulary.h"
#include "test.h"

static void add(fby_vocabulary *vocabulary, uint32_t id, const char *piece)
{
    assert_int_equal(fby_vocabulary_add(vocabulary, id, piece, strlen(piece)), FBY_OK);
}

static uint32_t split(const fby_vocabulary *vocabulary, const char *word, uint32_t *ids)
{
    return fby_vocabulary_split(vocabulary, (const unsigned char *)word, strlen(word), ids);
}

static void the_longest_piece_is_taken_first(void **state)
{
    (void)state;
    fby_vocabulary v;
    uint32_t ids[8];
    fby_vocabulary_init(&v);
    add(&v, 0, "un");
    add(&v, 1, "una");
    add(&v, 2, "##ff");
    add(&v, 3, "##able");
    add(&v, 4, "##a");
    assert_int_equal(fby_vocabulary_index(&v, "##", 2, false), FBY_OK);
    assert_int_equal(split(&v, "unaffable", ids), 3);
    assert_memory_equal(ids, ((uint32_t[]){1, 2, 3}), 3 * sizeof *ids);
    assert_int_equal(split(&v, "unaffabl", ids), 0);
    assert_int_equal(split(&v, "ff", ids), 0);
    fby_vocabulary_free(&v);
}

static void an_id_is_given_once_and_below_the_bound(void **state)
{
    (void)state;
    fby_vocabulary v;
    fby_vocabulary_init(&v);
    add(&v, 7, "seven");
    assert_int_equal(fby_vocabulary_add(&v, 7, "sept", 4), FBY_EFORMAT);
    assert_string_equal(fby_last_error(), "id 7 is given twice");
    assert_int_equal(fby_vocabulary_add(&v, FBY_VOCABULARY_MAX, "big", 3), FBY_EFORMAT);
    assert_int_equal(v.count, 8);
    assert_int_equal(v.entries, 1);
    fby_vocabulary_free(&v);
}

static void a_piece_has_one_id_unless_the_last_wins(void **state)
{
    (void)state;
    for (int last_wins = 0; last_wins < 2; last_wins++) {
        fby_vocabulary v;
        uint32_t id;
        fby_vocabulary_init(&v);
        add(&v, 0, "a");
        add(&v, 1, "##b");
        add(&v, 2, "a");
        add(&v, 3, "##b");
        fby_status status = fby_vocabulary_index(&v, "##", 2, last_wins);
        assert_int_equal(status, last_wins ? FBY_OK : FBY_EFORMAT);
        if (last_wins) {
            assert_true(fby_vocabulary_find(&v, "a", 1, &id));
            assert_int_equal(id, 2);
            assert_true(fby_vocabulary_word(&v, (const unsigned char *)"a...............", 1, &id));
            assert_int_equal(id, 2);
            assert_true(fby_vocabulary_find(&v, "##b", 3, &id));
            assert_int_equal(id, 3);
        }
        fby_vocabulary_free(&v);
    }
}

static void finding_nothing_leaves_the_id_alone(void **state)
{
    (void)state;
    fby_vocabulary v;
    uint32_t id = 99;
    fby_vocabulary_init(&v);
    add(&v, 0, "abc");
    add(&v, 1, "##abc");
    assert_int_equal(fby_vocabulary_index(&v, "##", 2, false), FBY_OK);
    assert_false(fby_vocabulary_find(&v, "ab", 2, &id));
    assert_false(fby_vocabulary_find(&v, "abcd", 4, &id));
    assert_false(fby_vocabulary_find(&v, "##ab", 4, &id));
    assert_false(fby_vocabulary_find(&v, "", 0, &id));
    assert_int_equal(id, 99);
    fby_vocabulary_free(&v);
}

/* ---- against a plain model ---- */

enum { PIECES = 400, LONGEST = 24 };

typedef struct model {
    char pieces[PIECES][LONGEST + 1];
    uint32_t count;
} model;

static int model_find(const model *m, const char *piece)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (strcmp(m->pieces[i], piece) == 0)
            return (int)i;
    }
    return -1;
}

/* WordPiece as it is written down: the longest substring that is there, again and again. */
static uint32_t model_split(const model *m, const char *word, uint32_t *ids)
{
    uint32_t count = 0;
    size_t size = strlen(word);
    for (size_t start = 0, end; start < size; start = end) {
        int id = -1;
        for (end = size; end > start; end--) {
            char piece[2 * LONGEST];
            snprintf(piece, sizeof piece, "%s%.*s", start > 0 ? "##" : "", (int)(end - start),
                     word + start);
            if ((id = model_find(m, piece)) >= 0)
                break;
        }
        if (id < 0)
            return 0;
        ids[count++] = (uint32_t)id;
    }
    return count;
}

/* 1 to `longest` letters of three, so that pieces share beginnings and words find them. */
static void random_letters(fby_rng *rng, char *out, size_t longest)
{
    size_t size = 1 + fby_rng_below(rng, longest);
    for (size_t i = 0; i < size; i++)
        out[i] = "abc"[fby_rng_below(rng, 3)];
    out[size] = '\0';
}

static void random_vocabulary(fby_rng *rng, model *m, fby_vocabulary *v)
{
    m->count = 0;
    fby_vocabulary_init(v);
    while (m->count < PIECES) {
        char *piece = m->pieces[m->count];
        bool continuing = fby_rng_bool(rng);
        strcpy(piece, continuing ? "##" : "");
        random_letters(rng, piece + strlen(piece), fby_rng_below(rng, 8) == 0 ? 20 : 5);
        if (model_find(m, piece) < 0) {
            add(v, m->count, piece);
            m->count++;
        }
    }
    assert_int_equal(fby_vocabulary_index(v, "##", 2, false), FBY_OK);
}

static void cuts_random_words_as_its_model_does(void **state)
{
    (void)state;
    fby_rng rng = fby_rng_from_env();
    static model m;
    fby_vocabulary v;
    for (int round = 0; round < 10; round++) {
        random_vocabulary(&rng, &m, &v);
        for (int i = 0; i < 2000; i++) {
            char word[LONGEST + 1] = {0};
            uint32_t got[LONGEST], expected[LONGEST], id = 0;
            random_letters(&rng, word, 20);
            uint32_t count = model_split(&m, word, expected);
            assert_int_equal(split(&v, word, got), count);
            assert_memory_equal(got, expected, count * sizeof *got);
            if (strlen(word) > FBY_WORD_HASHED)
                continue;
            assert_int_equal(
                fby_vocabulary_word(&v, (const unsigned char *)word, strlen(word), &id),
                count == 1);
            assert_int_equal(id, count == 1 ? expected[0] : 0);
        }
        fby_vocabulary_free(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_piece_is_taken_first),
        cmocka_unit_test(an_id_is_given_once_and_below_the_bound),
        cmocka_unit_test(a_piece_has_one_id_unless_the_last_wins),
        cmocka_unit_test(finding_nothing_leaves_the_id_alone),
        cmocka_unit_test(cuts_random_words_as_its_model_does),
    };
    return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}

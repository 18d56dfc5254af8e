/* SPDX-License-Identifier: Apache-2.0 */
/* libc's names as the shim exports them: this program is linked with it. */
#include "test.h"

#include <errno.h>
#include <malloc.h>
#include <unistd.h>

/* A number that the compiler cannot object to before the test runs. */
static size_t number(const char *text)
{
    return strtoull(text, NULL, 0);
}

static void the_whole_family_is_the_shims(void **state)
{
    (void)state;
    /* glibc would say 24. */
    void *block = malloc(17);
    assert_int_equal(malloc_usable_size(block), 32);
    free(block);
    char *text = strdup("a copy by libc");
    assert_int_equal(malloc_usable_size(text), 16);
    free(text);
}

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_valloc(size_t size);
extern void *__libc_pvalloc(size_t size);
extern void __libc_free(void *block);
extern int __posix_memalign(void **out, size_t alignment, size_t size);

static void libcs_names_for_itself_are_the_same(void **state)
{
    (void)state;
    void *aligned = NULL;
    free(__libc_malloc(100));
    free(__libc_realloc(__libc_calloc(1, 10), 5000));
    free(__libc_memalign(64, 1));
    free(__libc_valloc(1));
    free(__libc_pvalloc(1));
    assert_int_equal(__posix_memalign(&aligned, 64, 1), 0);
    free(aligned);
    __libc_free(malloc(1));
}

static void posix_memalign_returns_its_error_and_leaves_the_rest(void **state)
{
    (void)state;
    void *out = &out;
    errno = E2BIG;
    assert_int_equal(posix_memalign(&out, number("0"), 8), EINVAL);
    assert_int_equal(posix_memalign(&out, number("4"), 8), EINVAL);
    assert_int_equal(posix_memalign(&out, number("24"), 8), EINVAL);
    assert_int_equal(posix_memalign(&out, 64, number("0xffffffffffffffff")), ENOMEM);
    assert_ptr_equal(out, &out);
    assert_int_equal(errno, E2BIG);
    assert_int_equal(posix_memalign(&out, 256, 8), 0);
    assert_int_equal((uintptr_t)out % 256, 0);
    free(out);
}

static void the_older_names_align_too(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *a = memalign(number("48"), 100), *b = valloc(10), *c = pvalloc(page + 1),
         *d = aligned_alloc(64, 1);
    assert_int_equal((uintptr_t)a % 64, 0); /* the next power of two, as glibc does */
    assert_int_equal((uintptr_t)b % page, 0);
    assert_int_equal((uintptr_t)c % page, 0);
    assert_true(malloc_usable_size(c) >= 2 * page);
    assert_int_equal((uintptr_t)d % 64, 0);
    free(a);
    free(b);
    free(c);
    free(d);
    errno = 0;
    assert_null(pvalloc(number("0xffffffffffffffff")));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(aligned_alloc(number("0x80000000"), 8)); /* 2 GiB: too large */
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(aligned_alloc(number("3"), 8));
    assert_int_equal(errno, EINVAL);
}

static void reallocarray_refuses_an_overflow(void **state)
{
    (void)state;
    errno = 0;
    assert_null(reallocarray(NULL, number("0x7fffffffffffffff"), 3));
    assert_int_equal(errno, ENOMEM);
    char *block = reallocarray(NULL, 10, 10);
    assert_true(malloc_usable_size(block) >= 100);
    assert_null(realloc(block, 0));
}

static void mallinfo_and_trim_answer(void **state)
{
    (void)state;
    void *block = malloc(100000);
    struct mallinfo2 info = mallinfo2();
    assert_true(info.arena >= info.uordblks);
    assert_true(info.uordblks >= 100000);
    free(block);
    assert_int_equal(malloc_trim(0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_family_is_the_shims),
        cmocka_unit_test(libcs_names_for_itself_are_the_same),
        cmocka_unit_test(posix_memalign_returns_its_error_and_leaves_the_rest),
        cmocka_unit_test(the_older_names_align_too),
        cmocka_unit_test(reallocarray_refuses_an_overflow),
        cmocka_unit_test(mallinfo_and_trim_answer),
    };
    return cmocka_run_group_tests_name("allocator shim", tests, NULL, NULL);
}

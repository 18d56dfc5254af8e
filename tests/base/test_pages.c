/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"
#include "test.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

static int maps_until_failure = -1; /* negative: none fails */

void *__real_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (maps_until_failure == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    maps_until_failure--;
    return __real_mmap64(address, size, protection, flags, file, offset);
}

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

static void gives_zeroed_pages_that_do_not_fault(void **state)
{
    (void)state;
    enum { SIZE = 5 << 20 };
    void *pages;
    assert_int_equal(fby_pages_map(SIZE, &pages), FBY_OK);
    unsigned char *bytes = pages, sum = 0;
    long before = page_faults();
    for (size_t i = 0; i < SIZE; i++)
        sum |= bytes[i];
    memset(bytes, 1, SIZE);
    long after = page_faults();
    assert_int_equal(sum, 0);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    assert_int_equal(after, before);
#else
    (void)before, (void)after;
#endif
    fby_pages_unmap(pages, SIZE);
    fby_pages_unmap(NULL, SIZE);
}

static void refuses_sizes_that_cannot_be(void **state)
{
    (void)state;
    void *pages = NULL;
    assert_int_equal(fby_pages_map(0, &pages), FBY_EINVAL);
    assert_int_equal(fby_pages_map(SIZE_MAX, &pages), FBY_EINVAL);
    assert_int_equal(fby_pages_map(SIZE_MAX / 4, &pages), FBY_ENOMEM);
    assert_null(pages);
}

static void says_when_the_system_has_none(void **state)
{
    (void)state;
    void *pages = NULL;
    maps_until_failure = 0;
    assert_int_equal(fby_pages_map(8192, &pages), FBY_ENOMEM);
    assert_string_equal(fby_last_error(), "mapping 8192 bytes: Cannot allocate memory");
    assert_null(pages);
    maps_until_failure = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_zeroed_pages_that_do_not_fault),
        cmocka_unit_test(refuses_sizes_that_cannot_be),
        cmocka_unit_test(says_when_the_system_has_none),
    };
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}

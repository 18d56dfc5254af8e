/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/bits.h"

/* The smallest page of the systems that this runs on: touching at this step
 * touches every page. */
enum { PAGE = 4096, HUGE_PAGE = 2 << 20 };

fby_status fby_pages_map(size_t size, void **pages)
{
    if (size == 0 || size > SIZE_MAX - PAGE)
        return fby_error(FBY_EINVAL, "cannot map %zu bytes", size);
    unsigned char *map =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return fby_error_errno(FBY_ENOMEM, errno, "mapping %zu bytes", size);
    if (size >= HUGE_PAGE)
        (void)madvise(map, size, MADV_HUGEPAGE); /* an advice: plain pages do as well */
    for (size_t at = 0; at < size; at += PAGE)
        *(_Atomic unsigned char *)(map + at) = 0;
    /* What is huge stays so. But khugepaged shall not collect the small pages at the edges later:
     * it unmaps them meanwhile, and whoever reads them then faults. */
    if (size >= HUGE_PAGE)
        (void)madvise(map, size, MADV_NOHUGEPAGE);
    *pages = map;
    return FBY_OK;
}

void fby_pages_unmap(void *pages, size_t size)
{
    if (pages != NULL)
        munmap(pages, size);
}

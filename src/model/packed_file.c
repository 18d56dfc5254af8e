/* SPDX-License-Identifier: Apache-2.0 */
#include "model/packed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/unused.h"

enum {
    HEADER_BYTES = 4096,
    WAIT_MS = 10000, /* for another process that makes the same file */
    LOOK_MS = 5      /* between two looks at it */
};

static const char magic[8] = {'F', 'B', 'Y', 'P', 'A', 'C', 'K', '\n'};

typedef struct header {
    char magic[8];
    uint32_t format;
    uint32_t header_bytes;
    uint64_t image_bytes;
    fby_digest image;
    char settings[FBY_SETTINGS_SIZE];
    unsigned char unused[HEADER_BYTES - 40 - FBY_SETTINGS_SIZE - 16];
    fby_digest self; /* of all bytes before it */
} header;

_Static_assert(sizeof(header) == HEADER_BYTES, "the image begins on a page");

void fby_packed_name(const char *fingerprint, char name[static FBY_PACKED_NAME_SIZE])
{
    snprintf(name, FBY_PACKED_NAME_SIZE, "%.32s%s", fingerprint, FBY_PACKED_SUFFIX);
}

bool fby_packed_parse_name(const char *name, char fingerprint[static FBY_HEX_SIZE])
{
    size_t digits = FBY_HEX_SIZE - 1;
    if (strspn(name, "0123456789abcdef") != digits || strcmp(name + digits, FBY_PACKED_SUFFIX) != 0)
        return false;
    memcpy(fingerprint, name, digits);
    fingerprint[digits] = '\0';
    return true;
}

const void *fby_packed_image(const fby_file *file)
{
    return file->bytes + HEADER_BYTES;
}

/* ---- reading ---- */

/* Regular, of the expected size, and written by nobody else. */
static fby_status check_inode(int fd, const char *name, const fby_packed_spec *spec)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fby_error_errno(FBY_EIO, errno, "%s", name);
    if (!S_ISREG(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022) != 0)
        return fby_error(FBY_EFORMAT, "%s: others may write it", name);
    if ((uint64_t)info.st_size != HEADER_BYTES + spec->image_bytes)
        return fby_error(FBY_EFORMAT, "%s: %lld bytes, expected %zu", name, (long long)info.st_size,
                         HEADER_BYTES + spec->image_bytes);
    return FBY_OK;
}

static fby_status check_content(const fby_file *file, const char *name, const char *fingerprint,
                                const fby_packed_spec *spec)
{
    const header *head = (const header *)file->bytes;
    char expected[FBY_HEX_SIZE];
    fby_digest self = fby_digest_of(head, offsetof(header, self));
    if (memcmp(head->magic, magic, sizeof magic) != 0 || head->format != FBY_PACK_FORMAT ||
        head->header_bytes != HEADER_BYTES || head->image_bytes != spec->image_bytes ||
        memcmp(&head->self, &self, sizeof self) != 0)
        return fby_error(FBY_EFORMAT, "%s: not a packed model of this version", name);
    if (strncmp(head->settings, spec->settings, FBY_SETTINGS_SIZE) != 0)
        return fby_error(FBY_EFORMAT, "%s: packed for other settings", name);
    fby_fingerprint(spec->settings, fby_digest_of(fby_packed_image(file), spec->image_bytes),
                    expected);
    if (strcmp(expected, fingerprint) != 0)
        return fby_error(FBY_EFORMAT, "%s: its content is not what its name says", name);
    return FBY_OK;
}

fby_status fby_packed_map(int dir, const char *fingerprint, const fby_packed_spec *spec,
                          fby_file *file)
{
    char name[FBY_PACKED_NAME_SIZE];
    fby_packed_name(fingerprint, name);
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return fby_error_errno(errno == ENOENT ? FBY_ENOENT : FBY_EFORMAT, errno, "%s", name);

    fby_file mapped = {NULL, HEADER_BYTES + spec->image_bytes};
    fby_status status = check_inode(fd, name, spec);
    if (status == FBY_OK) {
        void *bytes = mmap(NULL, mapped.size, PROT_READ, MAP_SHARED, fd, 0);
        if (bytes == MAP_FAILED)
            status = fby_error_errno(FBY_EIO, errno, "%s", name);
        else /* what is read from the disk now is read in huge pages, where the system can */
            (void)madvise(bytes, mapped.size, MADV_HUGEPAGE);
        mapped.bytes = bytes;
    }
    if (status == FBY_OK)
        fby_used_now(fd);
    close(fd);
    if (status != FBY_OK)
        return status;
    status = check_content(&mapped, name, fingerprint, spec);
    if (status != FBY_OK)
        fby_file_unmap(&mapped);
    else
        *file = mapped;
    return status;
}

/* ---- writing ---- */

static fby_status write_fully(int fd, const char *name, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    while (size > 0) {
        ssize_t wrote = write(fd, at, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fby_error_errno(FBY_EIO, wrote < 0 ? errno : ENOSPC, "%s", name);
        at += wrote;
        size -= (size_t)wrote;
    }
    return FBY_OK;
}

static fby_status write_all(int fd, const char *name, const fby_packed_spec *spec,
                            const void *image)
{
    header head = {.format = FBY_PACK_FORMAT,
                   .header_bytes = HEADER_BYTES,
                   .image_bytes = spec->image_bytes,
                   .image = fby_digest_of(image, spec->image_bytes)};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.settings, spec->settings, strnlen(spec->settings, FBY_SETTINGS_SIZE - 1));
    head.self = fby_digest_of(&head, offsetof(header, self));
    if (ftruncate(fd, 0) != 0)
        return fby_error_errno(FBY_EIO, errno, "%s", name);
    fby_status status = write_fully(fd, name, &head, sizeof head);
    if (status == FBY_OK)
        status = write_fully(fd, name, image, spec->image_bytes);
    if (status == FBY_OK && fsync(fd) != 0)
        status = fby_error_errno(FBY_EIO, errno, "%s", name);
    /* So that it comes back in huge pages, as fby_packed_map() asks for. */
    if (status == FBY_OK)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return status;
}

/* Whether `name` still is the file behind `fd`: its last owner may have renamed or removed it
 * while we waited for the lock. */
static bool still_named(int dir, const char *name, int fd)
{
    struct stat by_name, by_fd;
    return fstatat(dir, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &by_fd) == 0 &&
           by_name.st_dev == by_fd.st_dev && by_name.st_ino == by_fd.st_ino;
}

/* Opens and locks the temporary file. FBY_EAGAIN while another process has it. */
static fby_status lock_temporary(int dir, const char *name, int *fd)
{
    int opened = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (opened < 0)
        return fby_error_errno(FBY_EIO, errno, "%s", name);
    if (flock(opened, LOCK_EX | LOCK_NB) == 0) {
        if (still_named(dir, name, opened)) {
            *fd = opened;
            return FBY_OK;
        }
        errno = EWOULDBLOCK;
    }
    bool cannot = errno != EWOULDBLOCK && errno != EINTR;
    fby_status status = cannot ? fby_error_errno(FBY_EIO, errno, "%s", name) : FBY_EAGAIN;
    close(opened);
    return status;
}

/* Writes the file under its name; entered with the lock, which closing `fd` gives back. */
static fby_status write_and_rename(int dir, const char *temporary, const char *name, int fd,
                                   const fby_packed_spec *spec, const void *image)
{
    fby_status status = write_all(fd, name, spec, image);
    if (status == FBY_OK && renameat(dir, temporary, dir, name) != 0)
        status = fby_error_errno(FBY_EIO, errno, "%s", name);
    if (status != FBY_OK)
        unlinkat(dir, temporary, 0);
    else
        fsync(dir); /* so that the name survives a crash too; without it, it is made anew */
    return status;
}

static void wait_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000}, NULL);
}

static bool exists(int dir, const char *fingerprint, const fby_packed_spec *spec)
{
    fby_file file;
    if (fby_packed_map(dir, fingerprint, spec, &file) != FBY_OK)
        return false;
    fby_file_unmap(&file);
    return true;
}

fby_status fby_packed_store(int dir, const char *fingerprint, const fby_packed_spec *spec,
                            const void *image)
{
    if (exists(dir, fingerprint, spec))
        return FBY_OK;

    char name[FBY_PACKED_NAME_SIZE], temporary[FBY_PACKED_NAME_SIZE];
    fby_packed_name(fingerprint, name);
    snprintf(temporary, sizeof temporary, "%.32s.tmp", fingerprint);

    uint64_t deadline = fby_now_ns() + WAIT_MS * UINT64_C(1000000);
    int fd = -1;
    fby_status status;
    while ((status = lock_temporary(dir, temporary, &fd)) == FBY_EAGAIN) {
        if (fby_now_ns() > deadline)
            return FBY_EAGAIN;
        wait_a_little();
    }
    if (status != FBY_OK)
        return status;

    if (exists(dir, fingerprint, spec)) /* made while we waited */
        unlinkat(dir, temporary, 0);
    else
        status = write_and_rename(dir, temporary, name, fd, spec, image);
    close(fd);
    return status;
}

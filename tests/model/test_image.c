/* SPDX-License-Identifier: Apache-2.0 */
#include "model/image.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "model/packed_file.h"
#include "model/tiny_model.h"

/* ---- faults: the call with that number, counted from 1, fails; 0: none does ---- */

static int mmap_calls, mmap_fails, write_calls, write_fails, fsync_fails, rename_fails;

void *__real_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (++mmap_calls == mmap_fails) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap64(address, size, prot, flags, fd, offset);
}

ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    if (++write_calls == write_fails) {
        errno = ENOSPC;
        return -1;
    }
    /* Halves, as a file system that fills up gives. */
    return __real_write(fd, bytes, write_fails != 0 && size > 1 ? size / 2 : size);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    if (fsync_fails != 0) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (rename_fails != 0) {
        errno = EIO;
        return -1;
    }
    return __real_renameat(from_dir, from, to_dir, to);
}

static void no_faults(void)
{
    mmap_calls = mmap_fails = write_calls = write_fails = fsync_fails = rename_fails = 0;
}

/* ---- a model, its cache, and the image without a cache to compare with ---- */

#define SETTINGS "kernels c\nlimit 8\n"

static char *dir, *cache;
static tiny_model model;
static fby_config config;
static fby_image plain;

/* Files that changed a moment ago are not linked to. */
static void let_files_settle(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
}

static fby_status open_with(const char *settings, const char *cache_dir, fby_image *image)
{
    return fby_image_open(dir, &config, fby_kernels_for(FBY_ISA_C), NULL, settings, cache_dir,
                          image);
}

static int make_model(void **state)
{
    (void)state;
    fby_rng rng = {11};
    dir = temporary_dir();
    model = (tiny_model){.vocabulary = 30,
                         .hidden = 16,
                         .layers = 1,
                         .heads = 2,
                         .intermediate = 20,
                         .positions = 8,
                         .activation = "gelu"};
    tiny_fill(&model, &rng);
    tiny_write(&model, dir);
    assert_int_equal(fby_config_load(dir, &config), FBY_OK);
    assert_int_equal(open_with(SETTINGS, "", &plain), FBY_OK);
    let_files_settle();
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    fby_image_close(&plain);
    fby_config_clear(&config);
    tiny_free(&model);
    temporary_remove(dir);
    free(dir);
    return 0;
}

static int make_cache(void **state)
{
    (void)state;
    no_faults();
    cache = temporary_dir();
    return 0;
}

static int remove_cache(void **state)
{
    (void)state;
    temporary_remove(cache);
    free(cache);
    return 0;
}

/* Files of the cache whose names end so. */
static int count_files(const char *suffix)
{
    DIR *listing = opendir(cache);
    int count = 0;
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        size_t size = strlen(entry->d_name), tail = strlen(suffix);
        count += entry->d_name[0] != '.' && size >= tail &&
                 strcmp(entry->d_name + size - tail, suffix) == 0;
    }
    closedir(listing);
    return count;
}

static void check_is_plain(const fby_image *image)
{
    assert_string_equal(image->fingerprint, plain.fingerprint);
    assert_int_equal(image->weight_bytes, plain.weight_bytes);
    assert_memory_equal(image->bytes, plain.bytes, plain.memory_bytes);
}

static void check_opens_in_memory(const char *cache_dir)
{
    fby_image image;
    assert_int_equal(open_with(SETTINGS, cache_dir, &image), FBY_OK);
    check_is_plain(&image);
    assert_string_equal(image.path, "");
    fby_image_close(&image);
}

static void check_opens_mapped(void)
{
    fby_image image;
    assert_int_equal(open_with(SETTINGS, cache, &image), FBY_OK);
    check_is_plain(&image);
    assert_non_null(strstr(image.path, plain.fingerprint));
    assert_int_equal(access(image.path, R_OK), 0);
    fby_image_close(&image);
}

static const char *pack_path(void)
{
    char name[FBY_PACKED_NAME_SIZE];
    fby_packed_name(plain.fingerprint, name);
    return temporary_path(cache, name);
}

/* ---- the ordinary life ---- */

static void the_first_start_packs_and_the_second_maps(void **state)
{
    (void)state;
    struct stat info;
    check_opens_mapped();
    assert_int_equal(count_files(".pack"), 1);
    assert_int_equal(count_files(".key"), 1);
    assert_int_equal(count_files(""), 2); /* nothing temporary is left */
    assert_int_equal(stat(pack_path(), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);

    mmap_calls = 0;
    check_opens_mapped();
    assert_int_equal(mmap_calls, 1); /* the packed file; the weights stay closed */
}

static void without_a_cache_the_weights_are_packed_in_memory(void **state)
{
    (void)state;
    check_opens_in_memory("");
    assert_int_equal(count_files(""), 0);
}

static void a_cache_is_made_where_it_is_asked_for(void **state)
{
    (void)state;
    char deep[4096];
    struct stat info;
    fby_image image;
    snprintf(deep, sizeof deep, "%s/a/b/c", cache);
    assert_int_equal(open_with(SETTINGS, deep, &image), FBY_OK);
    assert_ptr_equal(strstr(image.path, deep), image.path);
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    fby_image_close(&image);
}

static void the_users_cache_follows_the_environment(void **state)
{
    (void)state;
    fby_image image;
    char expected[4096];
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_int_equal(open_with(SETTINGS, NULL, &image), FBY_OK);
    snprintf(expected, sizeof expected, "%s/forebay/", cache);
    assert_ptr_equal(strstr(image.path, expected), image.path);
    fby_image_close(&image);

    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", cache, 1);
    assert_int_equal(open_with(SETTINGS, NULL, &image), FBY_OK);
    snprintf(expected, sizeof expected, "%s/.cache/forebay/", cache);
    assert_ptr_equal(strstr(image.path, expected), image.path);
    fby_image_close(&image);

    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    check_opens_in_memory(NULL);
}

static void other_settings_or_weights_have_a_file_of_their_own(void **state)
{
    (void)state;
    fby_image image;
    check_opens_mapped();
    assert_int_equal(open_with("kernels c\nlimit 7\n", cache, &image), FBY_OK);
    assert_string_not_equal(image.fingerprint, plain.fingerprint);
    assert_memory_equal(image.bytes, plain.bytes, plain.memory_bytes);
    fby_image_close(&image);
    assert_int_equal(count_files(".pack"), 2);
    check_opens_mapped(); /* whoever the key leads to */

    float *value = &tiny_find(&model, "encoder.layer.0.output.dense.bias")->values[3], old = *value;
    *value += 1;
    tiny_write(&model, dir);
    assert_int_equal(open_with(SETTINGS, cache, &image), FBY_OK);
    assert_string_not_equal(image.fingerprint, plain.fingerprint);
    assert_memory_not_equal(image.bytes, plain.bytes, plain.memory_bytes);
    fby_image_close(&image);
    assert_int_equal(count_files(".pack"), 3);
    *value = old;
    tiny_write(&model, dir);
    let_files_settle();
    check_opens_mapped();
    assert_int_equal(count_files(".pack"), 3);
}

static void weights_that_changed_a_moment_ago_are_not_linked_to(void **state)
{
    (void)state;
    tiny_write(&model, dir);
    check_opens_mapped();
    assert_int_equal(count_files(".pack"), 1);
    assert_int_equal(count_files(".key"), 0);
    let_files_settle();
    check_opens_mapped();
    assert_int_equal(count_files(".key"), 1);
}

/* ---- what lies in the cache already ---- */

static void damage(off_t offset)
{
    unsigned char byte;
    int fd = open(pack_path(), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* The image is right whatever is under its name, and the file is whole again. */
static void check_is_made_anew(void)
{
    fby_file file;
    check_opens_mapped();
    int fd = open(cache, O_RDONLY | O_DIRECTORY);
    fby_packed_spec spec = {SETTINGS, plain.memory_bytes};
    assert_int_equal(fby_packed_map(fd, plain.fingerprint, &spec, &file), FBY_OK);
    assert_memory_equal(fby_packed_image(&file), plain.bytes, plain.memory_bytes);
    fby_file_unmap(&file);
    close(fd);
}

static void a_torn_or_damaged_file_is_made_anew(void **state)
{
    (void)state;
    check_opens_mapped();
    off_t size = (off_t)plain.memory_bytes + 4096;
    const off_t bytes[] = {0, 9, 12, 20, 30, 41, 60, 3000, 3500, 4090, 4096, 9000, size - 1};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        damage(bytes[i]);
        check_is_made_anew();
    }
    const off_t sizes[] = {0, 1, 8, 4095, 4096, 4097, size / 2, size - 1, size + 1, 2 * size};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(pack_path(), sizes[i]), 0);
        check_is_made_anew();
    }
}

static void a_foreign_file_is_made_anew(void **state)
{
    (void)state;
    check_opens_mapped();
    unsigned char *zeros = calloc(1, plain.memory_bytes + 4096);
    assert_non_null(zeros);
    temporary_write(cache, strrchr(pack_path(), '/') + 1, zeros, plain.memory_bytes + 4096);
    free(zeros);
    check_is_made_anew();

    /* Whole, but of other settings: another's name. */
    fby_image other;
    assert_int_equal(open_with("kernels c\nlimit 7\n", cache, &other), FBY_OK);
    assert_int_equal(rename(other.path, pack_path()), 0);
    fby_image_close(&other);
    check_is_made_anew();

    assert_int_equal(chmod(pack_path(), 0622), 0); /* others may have written it */
    check_is_made_anew();

    assert_int_equal(unlink(pack_path()), 0);
    assert_int_equal(symlink("/dev/zero", pack_path()), 0);
    check_is_made_anew();
}

static void a_directory_in_its_place_is_left_alone(void **state)
{
    (void)state;
    assert_int_equal(mkdir(pack_path(), 0700), 0);
    check_opens_in_memory(cache);
    assert_int_equal(count_files(".tmp"), 0);
}

static void what_a_killed_process_left_behind_is_used_up(void **state)
{
    (void)state;
    char name[64];
    snprintf(name, sizeof name, "%s.tmp", plain.fingerprint);
    temporary_text(cache, name, "half");
    check_is_made_anew();
    assert_int_equal(count_files(".tmp"), 0);
}

static void a_key_that_leads_astray_is_not_followed(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "../../etc/passwd",
        "/etc/passwd",
        "x.pack",
        "00000000000000000000000000000000.pack",
        "0123456789abcdef0123456789abcdef.pac",
        "0123456789ABCDEF0123456789ABCDEF.pack",
        "0123456789abcdef0123456789abcdef.pack.and.more.and.more",
        "",
    };
    check_opens_mapped();
    char key[4096] = "";
    DIR *listing = opendir(cache);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
        if (strstr(entry->d_name, ".key") != NULL)
            snprintf(key, sizeof key, "%s/%s", cache, entry->d_name);
    closedir(listing);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_int_equal(unlink(key), 0);
        if (targets[i][0] != '\0')
            assert_int_equal(symlink(targets[i], key), 0);
        else
            assert_int_equal(mkfifo(key, 0600), 0); /* not even a link */
        check_opens_mapped();
        char target[64] = "";
        assert_true(readlink(key, target, sizeof target - 1) > 0);
        assert_non_null(strstr(target, plain.fingerprint));
    }
    assert_int_equal(count_files(".pack"), 1);
}

/* ---- directories that are no cache ---- */

static void a_directory_that_cannot_be_is_no_cache(void **state)
{
    (void)state;
    temporary_text(cache, "file", "");
    check_opens_in_memory(temporary_path(cache, "file"));
    check_opens_in_memory(temporary_path(cache, "file/below"));
    check_opens_in_memory("/proc/self/forebay");
}

static void a_directory_that_others_write_is_no_cache(void **state)
{
    (void)state;
    assert_int_equal(chmod(cache, 0770), 0);
    check_opens_in_memory(cache);
    assert_int_equal(chmod(cache, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(cache, 1, 1), 0);
        check_opens_in_memory(cache);
        assert_int_equal(chown(cache, 0, 0), 0);
    }
    assert_int_equal(count_files(""), 0);
}

static void a_cache_that_cannot_be_written_is_still_read(void **state)
{
    (void)state;
    check_opens_mapped();
    assert_int_equal(chmod(cache, 0500), 0);
    check_opens_mapped();
    assert_int_equal(chmod(cache, 0700), 0);
}

/* ---- faults ---- */

static void a_full_disk_leaves_nothing_behind(void **state)
{
    (void)state;
    /* Halves: header and image take a good dozen of writes each. */
    for (write_fails = 1; write_fails <= 16; write_fails++) {
        write_calls = 0;
        check_opens_in_memory(cache);
        assert_int_equal(write_calls, write_fails);
        assert_int_equal(count_files(""), 0);
    }
    no_faults();
    fsync_fails = 1;
    check_opens_in_memory(cache);
    assert_int_equal(count_files(""), 0);
    no_faults();
    rename_fails = 1;
    check_opens_in_memory(cache);
    assert_int_equal(count_files(""), 0);
    no_faults();
    check_opens_mapped();
}

static void a_mapping_that_fails_is_reported_or_done_without(void **state)
{
    (void)state;
    bool failed = true;
    for (int n = 1; failed; n++) {
        fby_image image;
        assert_true(n < 20);
        mmap_calls = 0;
        mmap_fails = n;
        fby_status status = open_with(SETTINGS, cache, &image);
        failed = mmap_calls >= n;
        if (status == FBY_OK) {
            check_is_plain(&image);
            fby_image_close(&image);
        } else {
            assert_int_equal(status, FBY_ENOMEM);
        }
    }
}

static void missing_weights_are_an_error_with_and_without_a_cache(void **state)
{
    (void)state;
    fby_image image;
    check_opens_mapped();
    assert_int_equal(rename(temporary_path(dir, "model.safetensors"), temporary_path(dir, "away")),
                     0);
    assert_int_equal(open_with(SETTINGS, cache, &image), FBY_ENOENT);
    assert_int_equal(open_with(SETTINGS, "", &image), FBY_ENOENT);
    assert_int_equal(rename(temporary_path(dir, "away"), temporary_path(dir, "model.safetensors")),
                     0);
    let_files_settle();
}

/* ---- several at once ---- */

static void processes_that_start_at_once_share_one_file(void **state)
{
    (void)state;
    enum { PROCESSES = 8 };
    pid_t children[PROCESSES];
    int start[2];
    assert_int_equal(pipe(start), 0);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char byte;
            fby_image image;
            close(start[1]);
            bool ok = read(start[0], &byte, 1) == 0 && /* all go when the pipe closes */
                      open_with(SETTINGS, cache, &image) == FBY_OK && image.path[0] != '\0' &&
                      strcmp(image.fingerprint, plain.fingerprint) == 0 &&
                      memcmp(image.bytes, plain.bytes, plain.memory_bytes) == 0;
            _exit(ok ? 0 : 1);
        }
    }
    close(start[0]);
    close(start[1]);
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(count_files(".pack"), 1);
    assert_int_equal(count_files(".tmp"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_cache, remove_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_start_packs_and_the_second_maps),
        TEST(without_a_cache_the_weights_are_packed_in_memory),
        TEST(a_cache_is_made_where_it_is_asked_for),
        TEST(the_users_cache_follows_the_environment),
        TEST(other_settings_or_weights_have_a_file_of_their_own),
        TEST(weights_that_changed_a_moment_ago_are_not_linked_to),
        TEST(a_torn_or_damaged_file_is_made_anew),
        TEST(a_foreign_file_is_made_anew),
        TEST(a_directory_in_its_place_is_left_alone),
        TEST(what_a_killed_process_left_behind_is_used_up),
        TEST(a_key_that_leads_astray_is_not_followed),
        TEST(a_directory_that_cannot_be_is_no_cache),
        TEST(a_directory_that_others_write_is_no_cache),
        TEST(a_cache_that_cannot_be_written_is_still_read),
        TEST(a_full_disk_leaves_nothing_behind),
        TEST(a_mapping_that_fails_is_reported_or_done_without),
        TEST(missing_weights_are_an_error_with_and_without_a_cache),
        TEST(processes_that_start_at_once_share_one_file),
    };
    return cmocka_run_group_tests_name("image", tests, make_model, remove_model);
}

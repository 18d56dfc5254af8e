/* SPDX-License-Identifier: Apache-2.0 */
/* A library that was linked with the archive is loaded and unloaded while its thread caches and
 * its background thread live. The argument is the library. */
#include "test.h"

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

static const char *path;
static pthread_barrier_t turn;

static void *work(void *address)
{
    void (*plugin_work)(void);
    memcpy(&plugin_work, &address, sizeof plugin_work);
    plugin_work();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return NULL;
}

static void what_is_still_in_use_of_it_stays(void **state)
{
    (void)state;
    pthread_t thread;
    void *library = dlopen(path, RTLD_NOW);
    if (library == NULL)
        skip(); /* no room for its thread-local variables: see the guide's limits */
    void *address = dlsym(library, "plugin_work");
    assert_non_null(address);
    pthread_barrier_init(&turn, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, work, address), 0);
    pthread_barrier_wait(&turn);
    assert_int_equal(dlclose(library), 0);
    usleep(600000); /* the background thread takes its next steps */
    pthread_barrier_wait(&turn);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_still_in_use_of_it_stays),
    };
    if (argc != 2)
        return 2;
    path = argv[1];
    return cmocka_run_group_tests_name("allocator plugin", tests, NULL, NULL);
}

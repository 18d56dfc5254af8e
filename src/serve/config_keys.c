/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/config_read.h"

fby_status fby_config_read_file(const char *path, char **bytes, size_t *size)
{
    /* A FIFO that nobody writes to must not hold a SIGHUP up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fby_error_errno(errno == ENOENT ? FBY_ENOENT : FBY_EIO, errno, "%.300s", path);
    fby_status status = FBY_OK;
    struct stat about;
    char *text = malloc(FBY_CONFIG_FILE_MAX + 1);
    size_t used = 0;
    if (text == NULL)
        status = fby_error(FBY_ENOMEM, "no memory to read %.300s", path);
    else if (fstat(fd, &about) != 0 || S_ISDIR(about.st_mode))
        status = fby_error(FBY_EFORMAT, "%.300s is no file", path);
    while (status == FBY_OK && used <= FBY_CONFIG_FILE_MAX) {
        ssize_t got = read(fd, text + used, FBY_CONFIG_FILE_MAX + 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = fby_error_errno(FBY_EIO, errno, "%.300s", path);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    close(fd);
    if (status == FBY_OK && used > FBY_CONFIG_FILE_MAX)
        status =
            fby_error(FBY_EFORMAT, "%.300s has more than %d KiB", path, FBY_CONFIG_FILE_MAX >> 10);
    if (status != FBY_OK) {
        free(text);
        return status;
    }
    text[used] = '\0';
    *bytes = text;
    *size = used;
    return FBY_OK;
}

static void fault(fby_config_reader *reader, size_t line, const char *what)
{
    fby_config_fault(reader, (fby_place){0}, &fby_settings[FBY_SETTING_API_KEY_FILE],
                     "%.200s:%zu: %s", reader->config->api_key_file, line, what);
}

/* "requests_per_minute=60" */
static bool read_limit(const char *word, const char *name, uint64_t *limit)
{
    size_t size = strlen(name);
    if (strncmp(word, name, size) != 0 || word[size] != '=' || word[size + 1] == '\0' ||
        strlen(word) - size > 19)
        return false;
    uint64_t sum = 0;
    for (const char *at = word + size + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        sum = sum * 10 + (uint64_t)(*at - '0');
    }
    *limit = sum;
    return true;
}

static void read_line(fby_config_reader *reader, char *line, size_t number)
{
    fby_config_key key = {0};
    char *left = line;

    for (char *word; (word = strsep(&left, " \t\r")) != NULL;) {
        if (word[0] == '\0')
            continue;
        if (key.secret == NULL && word[0] == '#')
            return;
        if (key.secret == NULL)
            key.secret = word;
        else if (strncmp(word, "name=", 5) == 0)
            key.name = word + 5;
        else if (!read_limit(word, "requests_per_minute", &key.requests_per_minute) &&
                 !read_limit(word, "tokens_per_minute", &key.tokens_per_minute)) {
            fault(reader, number,
                  "expected SECRET [name=N] [requests_per_minute=N] [tokens_per_minute=N]");
            return;
        }
    }
    if (key.secret == NULL)
        return;
    uint32_t faults = reader->notes->faults;
    fby_config_add_key(reader, (fby_place){0}, &key);
    if (reader->notes->faults != faults)
        fault(reader, number, "this key");
}

void fby_config_read_keys(fby_config_reader *reader, const char *bytes, size_t size)
{
    char *copy = malloc(size + 1), *left = copy;
    size_t number = 0;

    if (copy == NULL) {
        fault(reader, 0, "no memory");
        return;
    }
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    if (memchr(copy, '\0', size) != NULL)
        fault(reader, 0, "a byte is 0: this is no text");
    else
        for (char *line; (line = strsep(&left, "\n")) != NULL;)
            read_line(reader, line, ++number);
    explicit_bzero(copy, size);
    free(copy);
}

/* 0 if they are equal. Every byte of `given` is looked at, whatever is found. */
static unsigned differs(const char *secret, const char *given, size_t size)
{
    size_t secret_size = strlen(secret);
    unsigned difference = secret_size != size;

    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)given[i] ^ (unsigned char)secret[i % (secret_size + 1)];
    return difference;
}

const fby_config_key *fby_serve_config_find_key(const fby_serve_config *config, const char *secret,
                                                size_t size)
{
    const fby_config_key *found = NULL;

    for (uint32_t i = 0; i < config->key_count; i++)
        if (differs(config->keys[i].secret, secret, size) == 0)
            found = &config->keys[i];
    return found;
}

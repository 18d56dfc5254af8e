/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/model_choice.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/status.h"
#include "cli/say.h"

#define USUAL_MODEL "all-MiniLM-L6-v2"

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static fby_status take(const char *path, char dir[PATH_MAX])
{
    if (strlen(path) >= PATH_MAX)
        return fby_error(FBY_EINVAL, "the model's path has more than %d bytes", PATH_MAX - 1);
    memcpy(dir, path, strlen(path) + 1);
    return FBY_OK;
}

static int is_model(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The usual model among the installed ones, else the first by name. */
static bool find_installed(char dir[PATH_MAX])
{
    struct dirent **entries;
    bool found = false;

    snprintf(dir, PATH_MAX, "%s/%s", FBY_MODELS_DIR, USUAL_MODEL);
    if (is_directory(dir))
        return true;
    int count = scandir(FBY_MODELS_DIR, &entries, is_model, alphasort);
    for (int i = 0; i < count; i++) {
        if (!found) {
            snprintf(dir, PATH_MAX, "%s/%s", FBY_MODELS_DIR, entries[i]->d_name);
            found = is_directory(dir);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return found;
}

fby_status fby_model_choice_dir(const fby_model_choice *choice, char dir[PATH_MAX])
{
    const char *variable = getenv("FBY_MODEL");

    if (choice->dir != NULL)
        return take(choice->dir, dir);
    if (variable != NULL && variable[0] != '\0')
        return take(variable, dir);
    if (is_directory("models/" USUAL_MODEL))
        return take("models/" USUAL_MODEL, dir);
    if (find_installed(dir))
        return FBY_OK;
    return fby_error(FBY_ENOENT,
                     "no model: neither --model nor FBY_MODEL names one, and there is none in "
                     "models/%s or %s; `make model` gets one",
                     USUAL_MODEL, FBY_MODELS_DIR);
}

fby_status fby_model_choice_open(const fby_model_choice *choice, fby_model **model)
{
    char dir[PATH_MAX];
    fby_status status = fby_model_choice_dir(choice, dir);
    if (status != FBY_OK)
        return status;

    fby_model_options options = FBY_MODEL_OPTIONS_INIT;
    options.threads = (uint32_t)choice->threads;
    options.precision = (fby_precision)choice->precision;
    options.parallelism = (fby_parallelism)choice->parallelism;
    options.goal = (fby_goal)choice->goal;
    options.latency_target_ms = (uint32_t)choice->latency_target_ms;
    fby_model *opened;
    fby_model_info info = {.struct_size = sizeof info};
    status = fby_model_open(dir, &options, &opened);
    if (status != FBY_OK)
        return status;
    if (fby_model_get_info(opened, &info) == FBY_OK && info.threads < choice->threads)
        fby_say("--threads %llu: this process may use %u processors; %u threads work",
                (unsigned long long)choice->threads, info.threads, info.threads);
    *model = opened;
    return FBY_OK;
}

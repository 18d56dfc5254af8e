/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses a file of settings or of keys, the rest is its text: refused with a note,
 * or within the bounds of its table, and printed without a secret. */
#include "fuzz.h"

#include <string.h>

#include "base/bits.h"
#include "serve/config_read.h"

static void check_bounds(const fby_serve_config *config)
{
    for (int i = 0; i < FBY_SETTING_COUNT; i++) {
        const fby_setting *setting = &fby_settings[i];
        uint64_t x;
        if (setting->kind != FBY_SETTING_UINT && setting->kind != FBY_SETTING_SIZE &&
            setting->kind != FBY_SETTING_MS)
            continue;
        memcpy(&x, (const char *)config + setting->offset, sizeof x);
        FUZZ_CHECK(x >= setting->min && (setting->max == 0 || x <= setting->max));
    }
    FUZZ_CHECK(fby_is_pow2(config->ring_slots));
    FUZZ_CHECK(config->key_count <= FBY_CONFIG_LIST_MAX);
    for (uint32_t i = 0; i < config->key_count; i++)
        FUZZ_CHECK(fby_serve_config_find_key(config, config->keys[i].secret,
                                             strlen(config->keys[i].secret)) == &config->keys[i]);
}

static void check_notes(const fby_config_notes *notes)
{
    FUZZ_CHECK(notes->faults == 0 || notes->text != NULL);
    for (const char *at = notes->text; at != NULL && *at != '\0'; at++)
        FUZZ_CHECK(*at == '\n' || (unsigned char)*at >= ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fby_serve_config config;
    fby_config_notes notes;
    fby_config_reader reader = {.config = &config, .notes = &notes};
    bool keys = fuzz_byte(&data, &size) & 1;

    FUZZ_CHECK(fby_serve_config_load(&config, &(fby_config_inputs){.default_model = "/dev"},
                                     &notes) == FBY_OK);
    fby_config_notes_clear(&notes);
    if (keys) {
        config.api_key_file = strdup("keys");
        fby_config_read_keys(&reader, (const char *)data, size);
    } else {
        fby_config_read_yaml(&reader, (const char *)data, size);
    }
    if (config.model_count > 64)
        fby_config_clear_list(&config, &fby_settings[FBY_SETTING_MODEL]);
    fby_status status = fby_config_finish(&reader);
    FUZZ_CHECK((status == FBY_OK) == (notes.faults == 0));
    if (status == FBY_OK)
        check_bounds(&config);
    check_notes(&notes);
    FILE *out = fopen("/dev/null", "w");
    FUZZ_CHECK(out != NULL);
    fby_serve_config_print(&config, out);
    fclose(out);
    fby_serve_config_clear(&config);
    fby_config_notes_clear(&notes);
    return 0;
}

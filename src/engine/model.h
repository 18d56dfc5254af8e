/* SPDX-License-Identifier: Apache-2.0 */
/* What a public fby_model is: an encoder and the engine that runs it. */
#ifndef FBY_ENGINE_MODEL_H
#define FBY_ENGINE_MODEL_H

#include "engine/engine.h"
#include "engine/local.h"
#include "model/encoder.h"

struct fby_model {
    fby_encoder *encoder;
    fby_local local;
    fby_engine *engine;
    fby_encoder_info info;
    fby_isa isa;
    uint32_t threads;
    char *cache_dir; /* as in fby_model_options */
};

#endif

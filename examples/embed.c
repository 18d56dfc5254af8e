/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the vector of each text, a line each.
 *
 *     cc embed.c $(pkg-config --cflags --libs libforebay) -o embed
 *     ./embed models/all-MiniLM-L6-v2 'a pool of water' 'a turbine'
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forebay/embed.h>

static fby_status print_vectors(fby_model *model, char **words, size_t count)
{
    size_t dim = fby_model_dim(model);
    fby_text *texts = calloc(count, sizeof *texts);
    float *vectors = calloc(count * dim, sizeof *vectors);
    fby_status status = FBY_ENOMEM;

    if (texts != NULL && vectors != NULL) {
        for (size_t i = 0; i < count; i++)
            texts[i] = (fby_text){words[i], strlen(words[i])};
        status = fby_embed(model, texts, count, NULL, vectors, NULL);
        for (size_t i = 0; status == FBY_OK && i < count * dim; i++)
            printf("%.9g%c", (double)vectors[i], (i + 1) % dim == 0 ? '\n' : ' ');
    }
    free(vectors);
    free(texts);
    return status;
}

int main(int argc, char **argv)
{
    fby_model *model;

    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL_DIR TEXT...\n", argv[0]);
        return 2;
    }
    fby_status status = fby_model_open(argv[1], NULL, &model);
    if (status == FBY_OK) {
        status = print_vectors(model, argv + 2, (size_t)argc - 2);
        fby_model_close(model);
    }
    if (status != FBY_OK)
        fprintf(stderr, "%s: %s: %s\n", argv[0], fby_status_name(status), fby_last_error());
    return status != FBY_OK;
}

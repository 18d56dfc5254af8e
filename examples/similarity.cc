/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints how near each text is to the first: the cosine of their vectors.
 *
 *     c++ similarity.cc $(pkg-config --cflags --libs libforebay) -o similarity
 *     ./similarity models/all-MiniLM-L6-v2 'a pool of water' 'a lake' 'a tax return'
 */
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <forebay/embed.h>

namespace
{

void check(fby_status status)
{
    if (status != FBY_OK)
        throw std::runtime_error(std::string(fby_status_name(status)) + ": " + fby_last_error());
}

struct Close {
    void operator()(fby_model *model) const
    {
        fby_model_close(model);
    }
};
using Model = std::unique_ptr<fby_model, Close>;

Model open_model(const char *dir)
{
    fby_model *model;
    check(fby_model_open(dir, nullptr, &model));
    return Model(model);
}

/* Rows of length 1, (texts, dim). */
std::vector<float> embed(fby_model *model, const std::vector<std::string> &words)
{
    std::vector<fby_text> texts;
    for (const std::string &word : words)
        texts.push_back({word.data(), word.size()});
    std::vector<float> vectors(words.size() * fby_model_dim(model));
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.normalize = FBY_NORMALIZE_YES;
    check(fby_embed(model, texts.data(), texts.size(), &options, vectors.data(), nullptr));
    return vectors;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 4) {
        std::fprintf(stderr, "usage: %s MODEL_DIR TEXT OTHER...\n", argv[0]);
        return 2;
    }
    try {
        Model model = open_model(argv[1]);
        std::vector<std::string> words(argv + 2, argv + argc);
        std::vector<float> vectors = embed(model.get(), words);
        std::size_t dim = fby_model_dim(model.get());
        for (std::size_t i = 1; i < words.size(); i++) {
            double cosine = 0;
            for (std::size_t j = 0; j < dim; j++)
                cosine += double(vectors[j]) * double(vectors[i * dim + j]);
            std::printf("%.6f  %s\n", cosine, words[i].c_str());
        }
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 1;
    }
}

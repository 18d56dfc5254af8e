/* SPDX-License-Identifier: Apache-2.0 */
#include "search/passages.h"

#include <string.h>
#include <strings.h>

#include "search/utf8.h"

bool fby_is_code(const char *path)
{
    static const char *const suffixes[] = {
        "asm", "awk",   "bash",  "bat",    "c",      "cc",   "clj",   "cmake", "cpp", "cs",
        "css", "cu",    "cxx",   "d",      "dart",   "el",   "erl",   "ex",    "f90", "fish",
        "fs",  "glsl",  "go",    "gradle", "groovy", "h",    "hh",    "hpp",   "hs",  "html",
        "hxx", "ini",   "java",  "jl",     "js",     "json", "jsonl", "jsx",   "kt",  "lisp",
        "lua", "m",     "mjs",   "mk",     "ml",     "mm",   "nim",   "nix",   "pas", "php",
        "pl",  "pm",    "proto", "ps1",    "py",     "pyi",  "r",     "rb",    "rkt", "rs",
        "s",   "scala", "scm",   "scss",   "sh",     "sql",  "swift", "tcl",   "tf",  "toml",
        "ts",  "tsx",   "v",     "vb",     "vim",    "xml",  "yaml",  "yml",   "zig", "zsh"};
    static const char *const names[] = {"CMakeLists.txt",   "Dockerfile", "Justfile",
                                        "Makefile",         "Rakefile",   "meson.build",
                                        "meson_options.txt"};
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; dot != NULL && i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0)
            return true;
    return false;
}

bool fby_is_binary(const char *bytes, size_t size)
{
    enum { LOOKED_AT = 8 << 10 };
    size_t looked = size < LOOKED_AT ? size : LOOKED_AT, wrong = 0;

    if (memchr(bytes, '\0', looked) != NULL)
        return true;
    for (size_t at = 0; at < looked;) {
        size_t step = fby_utf8_size(bytes + at, size - at);
        wrong += step == 0;
        at += step != 0 ? step : 1;
    }
    return wrong * 10 > looked;
}

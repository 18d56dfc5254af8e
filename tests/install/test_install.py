# SPDX-License-Identifier: Apache-2.0
"""Installs into a directory of the test, looks at what is there, and builds programs against it."""
import array
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["FBY_TEST_BUILD"])
SOURCE = pathlib.Path(os.environ["FBY_TEST_SOURCE"])
MODEL = os.environ["FBY_TEST_MODEL"]
PREFIX = os.environ["FBY_TEST_PREFIX"]
TEXTS = ["a pool of water", "the lake above the turbine", "a tax return"]
PARTS_OF_LIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2",
                 "ld-linux-aarch64.so.1"}


def run(*words, **more):
    done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def api_of(header):
    """The functions that a header declares with FBY_API."""
    text = header.read_text(encoding="utf-8")
    return set(re.findall(r"^FBY_API [^;]*?\b(fby_\w+)\(", text, re.M | re.S))


def symbols(library, *options):
    lines = (line.split() for line in run("nm", "--defined-only", *options, library).splitlines())
    return {line[-1] for line in lines if len(line) == 3}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="fby-install-"))
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.root)
        cls.prefix = cls.root / PREFIX.lstrip("/")
        cls.lib = cls.prefix / os.environ["FBY_TEST_LIBDIR"]
        cls.headers = cls.prefix / "include" / "forebay"
        cls.command = cls.prefix / "bin" / "forebay"
        cls.environment = dict(os.environ, XDG_CACHE_HOME=str(cls.root / "cache"),
                               LD_LIBRARY_PATH=str(cls.lib), PKG_CONFIG_SYSROOT_DIR=str(cls.root),
                               PKG_CONFIG_PATH=str(cls.lib / "pkgconfig"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def pkg_config(self, *words):
        return run("pkg-config", *words, env=self.environment).split()

    def compile(self, compiler, source, flags, name):
        program = self.root / name
        run(compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", source, "-o", program, *flags)
        return program

    def commands_vectors(self):
        """A row a text, as the installed command gives them."""
        done = subprocess.run([self.command, "embed", "--model", MODEL, "--format", "f32"],
                              input="".join(text + "\n" for text in TEXTS).encode(),
                              stdout=subprocess.PIPE, env=self.environment, check=True, timeout=120)
        numbers = array.array("f", done.stdout)
        dim = len(numbers) // len(TEXTS)
        return [numbers[i * dim:(i + 1) * dim] for i in range(len(TEXTS))]

    def check_embed_example(self, program):
        lines = run(program, MODEL, *TEXTS, env=self.environment).splitlines()
        rows = [array.array("f", map(float, line.split())) for line in lines]
        self.assertEqual(rows, self.commands_vectors())

    def test_the_c_example_gives_the_commands_vectors(self):
        flags = self.pkg_config("--cflags", "--libs", "libforebay")
        example = self.prefix / "share/doc/forebay/examples/embed.c"
        program = self.compile("cc", example, flags, "embed")
        self.assertIn("libforebay.so.0", run("readelf", "-d", program))
        self.check_embed_example(program)

    def test_the_c_example_linked_statically_needs_no_libforebay(self):
        alone = self.root / "archives"
        shutil.copytree(self.lib, alone, ignore=shutil.ignore_patterns("*.so*"))
        flags = [word.replace(str(self.lib), str(alone))
                 for word in self.pkg_config("--static", "--cflags", "--libs", "libforebay")]
        example = self.prefix / "share/doc/forebay/examples/embed.c"
        program = self.compile("cc", example, flags, "embed-static")
        self.assertNotIn("libforebay", run("readelf", "-d", program))
        self.check_embed_example(program)

    def test_the_cpp_example_finds_the_nearer_text(self):
        flags = self.pkg_config("--cflags", "--libs", "libforebay")
        example = self.prefix / "share/doc/forebay/examples/similarity.cc"
        program = self.compile("c++", example, flags, "similarity")
        lines = run(program, MODEL, *TEXTS, env=self.environment).splitlines()
        first, *others = self.commands_vectors()
        cosines = [sum(x * y for x, y in zip(first, other)) for other in others]
        self.assertGreater(cosines[0], cosines[1])
        for line, cosine, text in zip(lines, cosines, TEXTS[1:]):
            self.assertEqual(line.split("  ", 1)[1], text)
            self.assertAlmostEqual(float(line.split()[0]), cosine, places=5)
        self.assertEqual(len(lines), 2)

    def test_the_shared_library_needs_libc_alone(self):
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d",
                                                         self.lib / "libforebay.so"))
        self.assertIn("libc.so.6", needed)
        self.assertLessEqual(set(needed), PARTS_OF_LIBC)

    def test_the_shared_library_exports_what_its_headers_declare(self):
        exported = symbols(self.lib / "libforebay.so", "-D")
        headers = {path: api_of(path) for path in self.headers.glob("*.h")}
        self.assertLessEqual(headers[self.headers / "embed.h"] | headers[self.headers / "status.h"],
                             exported)
        self.assertLessEqual(exported, set().union(*headers.values()))

    def test_archives_define_no_name_that_is_not_theirs(self):
        archives = list(self.lib.glob("*.a"))
        self.assertIn(self.lib / "libforebay.a", archives)
        for archive in archives:
            names = symbols(archive, "-g")
            self.assertTrue(names)
            self.assertEqual([name for name in names if not name.startswith("fby_")], [], archive)

    def parts(self):
        return sorted(path.stem for path in (self.lib / "pkgconfig").glob("forebay-*.pc"))

    def header_of(self, package):
        return " ".join(self.pkg_config("--variable=header", package))

    def compile_calls(self, packages, name):
        """A program that holds the address of every function of the packages' headers."""
        headers = [self.header_of(package) for package in packages]
        calls = [call for header in headers for call in api_of(self.prefix / "include" / header)]
        self.assertTrue(calls, packages)
        source = self.root / f"{name}.c"
        source.write_text("\n".join([*(f"#include <{header}>" for header in headers),
                                     "#include <stdio.h>", "int main(void)", "{",
                                     *(f'    printf("%d\\n", {call} != NULL);' for call in calls),
                                     "}", ""]))
        flags = self.pkg_config("--static", "--cflags", "--libs", *packages)
        program = self.compile("cc", source, [*flags, "-Wno-address"], name)
        self.assertEqual(run(program, env=self.environment).split(), ["1"] * len(calls))
        return program

    def test_each_part_stands_alone(self):
        self.assertIn("forebay-disruptor", self.parts())
        for part in self.parts():
            self.assertNotIn("libforebay", run("readelf", "-d", self.compile_calls([part], part)))

    def test_all_parts_link_into_one_program(self):
        self.compile_calls([*self.parts(), "libforebay"], "together")

    def test_each_header_compiles_alone_in_c_and_cpp(self):
        headers = sorted(path.name for path in self.headers.glob("*.h"))
        self.assertEqual(headers,
                         sorted(path.name for path in (SOURCE / "include/forebay").glob("*.h")))
        for header in headers:
            for compiler, language in (("cc", "c"), ("c++", "c++")):
                run(compiler, "-x", language, "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                    "-include", f"{self.headers}/{header}", "-I", self.prefix / "include",
                    "/dev/null")

    def test_every_command_has_its_page(self):
        pages = run(self.command, "--man").split()
        man = self.prefix / "share/man/man1"
        self.assertEqual(sorted(pages), sorted(path.stem for path in man.glob("*.1")))
        self.assertIn("forebay-embed", pages)
        for page in pages:
            text = (man / f"{page}.1").read_text(encoding="utf-8")
            words = page.split("-")[1:]
            for option in re.findall(r"^  (?:-\w, |    )--([\w-]+)",
                                     run(self.command, *words, "--help"), re.M):
                self.assertIn("\\-\\-" + option.replace("-", "\\-"), text, page)

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_the_pages_are_without_a_warning(self):
        for page in (self.prefix / "share/man/man1").glob("*.1"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page],
                                  stderr=subprocess.PIPE, check=True, timeout=60)
            self.assertEqual(done.stderr, b"", page)

    def complete(self, *words):
        """What bash offers for the last of `words`."""
        script = self.prefix / "share/bash-completion/completions/forebay"
        return run("bash", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _forebay;'
                                 'printf "%s\\n" "${COMPREPLY[@]}"', script, *words,
                   cwd=self.root).split()

    def test_bash_completes_commands_options_and_their_words(self):
        self.assertEqual(self.complete("forebay", "em"), ["embed"])
        self.assertEqual(self.complete("forebay", "embed", "--norm"), ["--normalize"])
        self.assertIn("npy", self.complete("forebay", "embed", "--format", ""))
        self.assertEqual(self.complete("forebay", "embed", "--format", "=", "js"), ["jsonl"])
        self.assertEqual(self.complete("forebay", "bench", "emb"), ["embed"])
        (self.root / "notes.txt").touch()
        self.assertEqual(self.complete("forebay", "embed", "note"), ["notes.txt"])
        self.assertEqual(self.complete("forebay", "embed", "--model", "note"), [])

    def test_other_shells_accept_their_completion(self):
        share = self.prefix / "share"
        for shell, path in (("zsh", share / "zsh/site-functions/_forebay"),
                            ("fish", share / "fish/vendor_completions.d/forebay.fish")):
            self.assertTrue(path.read_text(encoding="utf-8").strip())
            if shutil.which(shell):
                run(shell, "-n", path)


if __name__ == "__main__":
    unittest.main()

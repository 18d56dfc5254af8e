# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: running it, and reading what it writes."""
import array
import ast
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import tiny_model

FOREBAY = os.environ["FBY_TEST_COMMAND"]
REAL_MODEL = pathlib.Path(os.environ["FBY_TEST_MODEL"])
if not (REAL_MODEL / "model.safetensors").exists():
    sys.exit(f"{REAL_MODEL}: the model is missing; make model gets it")


class CommandTest(unittest.TestCase):
    """A directory of its own with the tiny model in it; the commands run there."""

    @classmethod
    def setUpClass(cls):
        cls.shared = pathlib.Path(tempfile.mkdtemp(prefix="fby-command-"))
        (cls.shared / "tiny").mkdir()
        tiny_model.make(cls.shared / "tiny")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def setUp(self):
        self.dir = self.shared / "work"
        self.dir.mkdir()
        self.environment = dict(os.environ, FBY_MODEL=str(self.shared / "tiny"),
                                XDG_CACHE_HOME=str(self.shared / "cache"), TERM="xterm")

    def tearDown(self):
        shutil.rmtree(self.dir)

    def path(self, name, content=None):
        """A file of the test; `content` is bytes or lines of text."""
        path = self.dir / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            path.write_bytes("".join(line + "\n" for line in content).encode())
        return path

    def run_command(self, *words, **more):
        """Runs `forebay words` to its end; stdout is bytes, stderr text."""
        more.setdefault("stdout", subprocess.PIPE)
        if "input" not in more:
            more.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run([FOREBAY, *map(str, words)], stderr=subprocess.PIPE, cwd=self.dir,
                              env=self.environment, timeout=120, **more)
        done.stderr = done.stderr.decode()
        return done

    def succeeds(self, *words, **more):
        done = self.run_command(*words, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def fails(self, code, *words, says=(), **more):
        """Fails with `code`, one line on stderr that holds each of `says`, nothing left behind."""
        before = sorted(path.name for path in self.dir.iterdir())
        done = self.run_command(*words, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, r"\Aforebay[^\n]*: [^\n]+\n\Z")
        for part in says:
            self.assertIn(part, done.stderr)
        self.assertEqual(sorted(path.name for path in self.dir.iterdir()), before)
        return done

    def start(self, *words, **more):
        """Starts `forebay words`; should the test fail before its end, it is killed."""
        process = subprocess.Popen([FOREBAY, *map(str, words)], cwd=self.dir,
                                   env=self.environment, stderr=subprocess.PIPE, **more)
        self.addCleanup(self.put_away, process)
        return process

    @staticmethod
    def put_away(process):
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def ends(self, process, code):
        """Ends by itself with `code`, its standard input still open; what it said."""
        self.assertEqual(process.wait(timeout=60), code)
        return process.stderr.read().decode()


def npy(content):
    """Rows of an npy file, each an array of floats; checks the header as NumPy does."""
    assert content[:8] == b"\x93NUMPY\x01\x00", content[:8]
    size = int.from_bytes(content[8:10], "little")
    assert (10 + size) % 64 == 0 and content[9 + size:10 + size] == b"\n"
    header = ast.literal_eval(content[10:10 + size].decode("latin1"))
    assert header["descr"] == "<f4" and header["fortran_order"] is False, header
    rows, dim = header["shape"]
    floats = f32(content[10 + size:])
    assert len(floats) == rows * dim, (len(floats), rows, dim)
    return [floats[i * dim:(i + 1) * dim] for i in range(rows)]


def f32(content):
    floats = array.array("f")
    floats.frombytes(content)
    return floats


def jsonl(content):
    return [json.loads(line) for line in content.splitlines()]


def vectors(content):
    """Rows of jsonl, each an array of floats."""
    return [array.array("f", row["embedding"]) for row in jsonl(content)]

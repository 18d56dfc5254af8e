# SPDX-License-Identifier: Apache-2.0
"""A `forebay serve` to point clients at, and what `forebay embed` says of the same texts."""
import array
import json
import os
import pathlib
import subprocess
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOREBAY = os.environ.get("FBY_TEST_COMMAND", str(ROOT / "build/forebay"))
MODEL = os.environ.get("FBY_TEST_MODEL", str(ROOT / "models/all-MiniLM-L6-v2"))
NAME = pathlib.Path(MODEL).name
DIM = 384


class Server:
    """Runs until stop(); `url` is where it listens, `log` what it said, a dict a line."""

    def __init__(self, *words, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FBY_")}
        self.process = subprocess.Popen(
            [FOREBAY, "serve", "-m", MODEL, "--port", "0", "--log-format", "json", *words],
            stderr=subprocess.PIPE, text=True, env={**environment, **variables})
        self.log = []
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["message"] == "listening":
                self.url = self.log[-1]["at"]
                return
        raise AssertionError(f"it did not start: {self.log}")

    def stop(self):
        """SIGTERM; it leaves with 0."""
        self.process.terminate()
        self.log += [json.loads(line) for line in self.process.stderr]
        self.process.stderr.close()
        code = self.process.wait(timeout=120)
        assert code == 0, (code, self.log)

    def get(self, path, **headers):
        """Status, headers and body."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.status, refusal.headers, refusal.read().decode()


def embedded(texts):
    """Rows of floats that `forebay embed` gives."""
    done = subprocess.run([FOREBAY, "embed", "-m", MODEL, "--format", "f32"], check=True,
                          input="".join(text + "\n" for text in texts).encode(),
                          stdout=subprocess.PIPE)
    floats = array.array("f")
    floats.frombytes(done.stdout)
    return [list(floats[i:i + DIM]) for i in range(0, len(floats), DIM)]


class ServerTest(unittest.TestCase):
    """One server for the tests of a class, started with `words`."""
    words = ()
    variables = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.words, **cls.variables)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def assert_same(self, vector, expected):
        """The same floats, bit by bit."""
        self.assertEqual(array.array("f", vector).tobytes(), array.array("f", expected).tobytes())

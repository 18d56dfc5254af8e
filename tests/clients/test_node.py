# SPDX-License-Identifier: Apache-2.0
"""The node package openai."""
import json
import pathlib
import shutil
import subprocess
import unittest

from server import NAME, ROOT, ServerTest, embedded

NODE = ROOT / ".venv-clients/node"
CLIENT = pathlib.Path(__file__).resolve().parent / "client.mjs"


@unittest.skipIf(shutil.which("node") is None or not (NODE / "node_modules/openai").exists(),
                 "node's package openai is not installed")
class Node(ServerTest):
    def test_vectors_are_those_of_forebay_embed(self):
        texts = ["a pool of water", "Wasser fließt", "a long text, " * 40]
        # A module finds its packages from where it lies.
        shutil.copy(CLIENT, NODE / "client.mjs")
        done = subprocess.run(["node", NODE / "client.mjs", self.server.url, NAME,
                               json.dumps(texts)], stdout=subprocess.PIPE, check=True, timeout=120)
        said = json.loads(done.stdout)
        for kind in ("plain", "float"):
            for vector, expected in zip(said[kind], embedded(texts), strict=True):
                self.assert_same(vector, expected)
        self.assertEqual(said["models"][0], NAME)
        self.assertEqual(said["refused"], {"status": 404, "code": "model_not_found",
                                           "param": "model"})


if __name__ == "__main__":
    unittest.main()

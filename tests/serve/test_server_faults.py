# SPDX-License-Identifier: Apache-2.0
"""The system refuses the server something, at every point of a few requests in turn: it answers
right, refuses as documented, or closes that connection; then it goes on as if nothing had been."""
import os
import pathlib
import signal
import socket
import types
import unittest

from served import (Client, Gone, Server, library_vectors, make_tiny_model, request, scratch,
                    wait_for)

TEXTS = [f"river {i}" for i in range(300)]
POINTS = 25  # the 1st to the 25th call after a point of rest


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = scratch()
        cls.addClassCleanup(directory.cleanup)
        cls.model = make_tiny_model(pathlib.Path(directory.name) / "tiny")
        cls.vectors = library_vectors(TEXTS, cls.model)

    def ask(self, server, count):
        """One new connection, a request or two; right, refused or closed."""
        try:
            with Client(server, timeout=20) as client:
                for _ in range(2):
                    answer = client.embed(TEXTS[:count])
                    if answer.status == 200:
                        self.assertEqual(answer.vectors(), self.vectors[:count])
                    else:
                        self.assertIn((answer.status, answer.code()), [
                            (429, "overloaded"), (500, "internal_error"), (400, "invalid_json")])
                        self.assertNotEqual(answer.status, 400, answer.body)
        except (Gone, ConnectionResetError):
            pass

    def check(self, fault):
        server = Server(self.model, "--threads", "1", environment={
            "LD_PRELOAD": os.environ["FBY_TEST_FAULTS"], "FBY_FAULT": fault})
        self.addCleanup(server.kill)
        for _ in range(3):
            self.ask(server, 300)
        descriptors = server.descriptors()
        for point in range(POINTS):
            with self.subTest(fault=fault, point=point + 1):
                server.process.send_signal(signal.SIGUSR1)
                self.ask(server, 300)
                self.ask(server, 1)
                self.assertIsNone(server.process.poll(), "".join(server.said[-3:]))
        wait_for(lambda: self.rests(server), "a server at rest")
        with Client(server) as client:
            self.assertEqual(client.embed(TEXTS).vectors(), self.vectors)
        wait_for(lambda: server.descriptors() <= descriptors, "as few descriptors as before")
        self.assertEqual(server.stop(), 0)
        self.assertGreaterEqual(server.said.count("a fault\n"), 3)  # it was met, at several points

    @staticmethod
    def rests(server):
        try:
            metrics = server.metrics()
        except (Gone, ConnectionResetError):
            return False  # the last fault was still to come
        return (metrics.get('forebay_open_connections', 0) == 1
                and metrics.get('forebay_requests_in_flight', 1) == 0)

    def test_accept_fails(self):
        self.check("accept4")

    def test_recv_fails(self):
        self.check("recv")

    def test_send_fails(self):
        self.check("send")

    def test_epoll_ctl_fails(self):
        self.check("epoll_ctl")

    def test_malloc_fails(self):
        self.check("malloc")

    def test_a_stuck_agent_is_named_at_the_admin_port_until_it_goes_on(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            admin = types.SimpleNamespace(address=free.getsockname(), tls=None)
        server = Server(self.model, "--admin-port", admin.address[1], "--stall-ms", "100",
                        environment={"LD_PRELOAD": os.environ["FBY_TEST_FAULTS"],
                                     "FBY_FAULT": "stuck"})
        self.addCleanup(server.kill)

        def probe(path):
            with Client(admin) as client:
                return client.ask("GET", path)

        self.assertEqual(probe("/health").status, 200)
        server.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: "armed\n" in server.said, "an armed fault")
        with Client(server) as client:
            client.send(request("POST", "/v1/embeddings", {"input": TEXTS[0]}))
            wait_for(lambda: probe("/live").status == 503, "a stuck agent")
            self.assertIn("agent 0", probe("/live").json()["reason"])
            self.assertEqual(probe("/health").status, 503)
            self.assertIn(b"forebay_", probe("/metrics").body)
            server.process.send_signal(signal.SIGUSR1)
            self.assertEqual(client.answer().status, 200)
        wait_for(lambda: probe("/live").status == 200, "life")
        self.assertEqual(server.stop(), 0)

    def test_mmap_and_malloc_fail_at_the_start(self):
        """It says so and leaves with 1, or does without."""
        for fault in ("mmap", "malloc"):
            for first in range(1, 200, 1 if fault == "mmap" else 13):
                with self.subTest(fault=fault, first=first):
                    server = Server(self.model, wait=False, environment={
                        "LD_PRELOAD": os.environ["FBY_TEST_FAULTS"], "FBY_FAULT": fault,
                        "FBY_FAULT_FIRST": str(first)})
                    self.addCleanup(server.kill)
                    wait_for(lambda: server.address or server.process.poll() is not None, "a start")
                    if server.address:
                        code = server.stop()
                        self.assertEqual(code, 0, "".join(server.said))
                    else:
                        server.reader.join()
                        self.assertIn(server.process.poll(), (1, 2, 127), "".join(server.said))
                        self.assertGreater(len(server.said), 1)
                    if "a fault\n" not in server.said:
                        break  # there are no more calls


if __name__ == "__main__":
    unittest.main(verbosity=2)

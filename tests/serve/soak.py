# SPDX-License-Identifier: Apache-2.0
"""The server among clients of which half are broken.

    soak.py [--seconds 600] [--requests 100000]    until both are reached

Four client processes send good requests and bad ones in turn, at random (the seed is printed):
bad JSON, wrong types, 10 MB strings, bodies cut short, invalid UTF-8, wrong keys, hang-ups amid
the request and amid the answer, headers and bodies that come a byte at a time, readers that stop.
Every good one has the library's vector, bit for bit; every bad one is refused as documented; no
429, for what is asked at once is far below the limits: a slow client takes nothing from others.
In the end neither memory nor descriptors have grown, the pool is empty, the server ends with 0.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import queue
import random
import select
import sys
import time
import traceback

from served import (Client, Gone, Server, chunks, library_vectors, make_tiny_model, request,
                    scratch, wait_for)

CLIENTS = 4
TEXTS = 256
KEY = {"authorization": "Bearer sesame"}
FAR = "/v1/embeddings"
# Bytes that a heap may grow by without a leak, as it keeps blocks of large bodies; in a short run it
# has not had all of them before.
SLACK, SHORT_SLACK = 6 << 20, 24 << 20


def make_texts(rng):
    words = "mill river wheel turns falling water dam turbine lake pool é 水 über".split()
    return [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(TEXTS)]


class Soaker:
    """One client process."""

    def __init__(self, place, texts, vectors, seed):
        self.server, self.texts, self.vectors = place, texts, vectors
        self.rng = random.Random(seed)
        self.client = None
        self.slow = []  # (connection, when it is let go)
        self.good = self.bad = 0

    def connection(self):
        if self.client is None:
            self.client = Client(self.server)
        return self.client

    def leave(self):
        if self.client is not None:
            self.client.close()
            self.client = None

    def expect(self, answer, status, code=None):
        assert answer.status == status, (answer.status, status, answer.body[:300])
        if code is not None:
            assert answer.code() == code, (answer.code(), code)

    # -- good ones --

    def pick(self):
        few = self.rng.random() < 0.9
        count = self.rng.randint(1, 8) if few else self.rng.choice((64, 300))
        return [self.rng.randrange(TEXTS) for _ in range(count)]

    def good_openai(self):
        rows = self.pick()
        texts = [self.texts[i] for i in rows]
        encoding = self.rng.choice(("base64", "float"))
        answer = self.connection().ask("POST", FAR, {"input": texts if len(texts) > 1 else texts[0],
                                                     "encoding_format": encoding}, **KEY)
        self.expect(answer, 200)
        assert answer.vectors() == [self.vectors[i] for i in rows], rows

    def good_chunked(self):
        rows = self.pick()
        body = json.dumps({"input": [self.texts[i] for i in rows], "encoding_format": "base64"})
        self.connection().send(request("POST", FAR, chunks(body.encode(), self.rng.randint(9, 999)),
                                       transfer_encoding="chunked", **KEY))
        answer = self.connection().answer()
        self.expect(answer, 200)
        assert answer.vectors() == [self.vectors[i] for i in rows], rows

    def good_pipeline(self):
        rows = [self.rng.randrange(TEXTS) for _ in range(5)]
        self.connection().send(b"".join(
            request("POST", FAR, {"input": self.texts[i], "encoding_format": "base64"}, **KEY)
            for i in rows))
        for i in rows:
            answer = self.connection().answer()
            self.expect(answer, 200)
            assert answer.vectors() == [self.vectors[i]], i

    # -- bad ones that get an answer --

    def refused(self, body, status, code, **headers):
        self.expect(self.connection().ask("POST", FAR, body, **(headers or KEY)), status, code)

    def bad_json(self):
        self.refused(self.rng.choice((b"", b"{", b'{"input": "a"', b'{"input": "a",}', b"\0",
                                      b'{"input": nope}', b"[" * 100000)), 400, "invalid_json")

    def bad_utf8(self):
        self.refused(b'{"input": "' + self.rng.choice((b"\xff", b"\xc3", b"\xed\xa0\x80",
                                                       b"\xf4\x90\x80\x80")) + b'"}',
                     400, "invalid_json")

    def bad_type(self):
        self.refused(self.rng.choice(({"input": 1.5}, {"input": {}}, {"input": ["a", None]}, {},
                                      {"input": "a", "encoding_format": "gif"},
                                      {"input": "a", "dimensions": -1})), 400, "invalid_value")

    def bad_model(self):
        self.refused({"input": "a", "model": "nobody's"}, 404, "model_not_found")

    def bad_ids(self):
        self.refused({"input": [[1, 2, 3]]}, 400, "token_ids_foreign")

    def bad_key(self):
        self.refused({"input": "a"}, 401, "invalid_api_key",
                     authorization=self.rng.choice(("Bearer sesam", "Bearer ", "Basic c2VzYW1l")))

    def bad_route(self):
        self.expect(self.connection().ask("POST", "/v1/nothing", {}, **KEY), 404, "unknown_url")

    def bad_size(self):
        """10 MB: refused by what the header says, and the connection may be closed upon it."""
        client = Client(self.server)
        try:
            client.send(request("POST", FAR, b'{"input": "' + b"x" * (10 << 20) + b'"}', **KEY))
        except Gone:
            pass
        try:
            self.expect(client.answer(), 413, "body_too_large")
        except Gone:
            pass  # a reset took the answer with it
        client.close()

    # -- bad ones that deserve none --

    def bad_cut(self):
        whole = request("POST", FAR, {"input": self.texts[0]}, **KEY)
        client = Client(self.server)
        client.send(whole[:self.rng.randrange(1, len(whole))])
        self.rng.choice((client.close, client.reset))()

    def bad_hang_up(self):
        client = Client(self.server)
        client.send(request("POST", FAR, {"input": [self.texts[i] for i in self.pick()]}, **KEY))
        if self.rng.random() < 0.5:
            client.take(self.rng.randint(1, 500))
        self.rng.choice((client.close, client.reset))()

    def bad_slow(self):
        """Left half-sent, or unread: whether the server cuts it off is seen later."""
        if len(self.slow) >= 8:
            return self.bad_cut()
        client = Client(self.server, receive_buffer=4096)
        if self.rng.random() < 0.3:
            client.send(request("POST", FAR, {"input": self.texts * 4}, **KEY) * 3)
        else:
            whole = request("POST", FAR, {"input": self.texts[0]}, **KEY)
            client.send(whole[:self.rng.randrange(1, len(whole) - 1)])
        self.slow.append((client, time.monotonic() + 30))

    def look_at_slow(self):
        """A byte to each; those that the server has left are done."""
        for pair in list(self.slow):
            client, end = pair
            try:
                client.socket.setblocking(False)
                client.socket.send(b" ")
            except BlockingIOError:
                pass
            except OSError:
                self.slow.remove(pair)
                client.close()
                continue
            readable, _, _ = select.select([client.socket], [], [], 0)
            if readable and time.monotonic() > end:
                self.slow.remove(pair)  # an answer that we let lie
                client.close()
            else:
                assert time.monotonic() < end + 30, "a slow client was not cut off"

    # -- the whole --

    GOOD = (good_openai, good_openai, good_openai, good_chunked, good_pipeline)
    BAD = (bad_json, bad_utf8, bad_type, bad_model, bad_ids, bad_key, bad_route, bad_cut, bad_hang_up,
           bad_json, bad_utf8, bad_type, bad_model, bad_ids, bad_key, bad_route, bad_cut, bad_hang_up,
           bad_slow, bad_size)

    def one(self):
        if self.rng.random() < 0.5:
            self.rng.choice(self.GOOD)(self)
            self.good += 1
        else:
            self.rng.choice(self.BAD)(self)
            self.bad += 1
        if self.rng.random() < 0.02:
            self.leave()
        if self.slow:
            self.look_at_slow()


class Place:
    """What a Client wants to know of a server, without the server."""

    def __init__(self, server):
        self.address, self.tls = server.address, None


def soak(place, texts, vectors, seed, seconds, requests, results):
    soaker, start, done = Soaker(place, texts, vectors, seed), time.monotonic(), 0
    try:
        while done < requests or time.monotonic() - start < seconds:
            soaker.one()
            done += 1
            if done % 50 == 0:
                results.put((seed, soaker.good, soaker.bad, None))
        for client, _ in soaker.slow:
            client.close()
        soaker.leave()
        results.put((seed, soaker.good, soaker.bad, "done"))
    except BaseException:  # whatever it is, it goes to the parent
        results.put((seed, soaker.good, soaker.bad, traceback.format_exc()))


def at_rest(server):
    """Nothing in flight, nobody there but who asks, the pool empty."""
    return (server.metric("forebay_requests_in_flight") == 0
            and server.metric("forebay_open_connections") == 1
            and server.metric("forebay_pool_in_flight_bytes") <= 0)


def fewest_descriptors(server):
    """With nobody connected: who asked last may still be on the way out."""
    fewest = server.descriptors()
    for _ in range(50):
        time.sleep(0.02)
        fewest = min(fewest, server.descriptors())
    return fewest


def run(server, texts, vectors, seed, seconds, requests):
    """(good, bad, [(when, bytes of RAM, descriptors)])"""
    results = multiprocessing.Queue()
    place = Place(server)
    clients = [multiprocessing.Process(target=soak, daemon=True, args=(
        place, texts, vectors, seed + i, seconds, requests // CLIENTS, results))
        for i in range(CLIENTS)]
    for client in clients:
        client.start()
    counts, left, samples, start = {}, CLIENTS, [], time.monotonic()
    next_sample = start
    while left > 0:
        try:
            who, good, bad, what = results.get(timeout=1)
        except queue.Empty:
            assert server.process.poll() is None, "the server ended: " + "".join(server.said[-5:])
            assert any(client.is_alive() for client in clients), "all clients died"
            continue
        counts[who] = (good, bad)
        if what == "done":
            left -= 1
        elif what is not None:
            raise AssertionError(f"client {who}: {what}" + "".join(server.said[-5:]))
        if time.monotonic() >= next_sample:
            next_sample += max(1, seconds / 60)
            samples.append((time.monotonic() - start, server.resident(), server.descriptors()))
    for client in clients:
        client.join()
    return sum(good for good, _ in counts.values()), sum(bad for _, bad in counts.values()), samples


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--requests", type=int, default=0)
    args = parser.parse_args()
    seed = int(os.environ.get("FBY_TEST_SEED", time.time()))
    print(f"FBY_TEST_SEED={seed}", flush=True)
    rng = random.Random(seed)
    texts = make_texts(rng)
    with scratch() as directory:
        model = make_tiny_model(pathlib.Path(directory) / "tiny")
        vectors = library_vectors(texts, model)
        with Server(model, "--api-key", "sesame", "--header-timeout-ms", "2000",
                    "--body-timeout-ms", "2000", "--write-timeout-ms", "2000",
                    "--slow-write-ms", "50", "--log-level", "info") as server:
            wait_for(lambda: at_rest(server), "a server at rest")
            # What a server takes once, it has after this: the memory of the largest requests.
            run(server, texts, vectors, seed + 1000, args.seconds / 10, args.requests // 10)
            wait_for(lambda: at_rest(server), "a server at rest after the warm-up")
            resident, descriptors = server.resident(), fewest_descriptors(server)
            start = time.monotonic()
            good, bad, samples = run(server, texts, vectors, seed, args.seconds, args.requests)
            took = time.monotonic() - start
            wait_for(lambda: at_rest(server), "a server at rest in the end")
            after = server.resident()
            print(f"{good} good, {bad} bad requests in {took:.0f} s; resident {resident >> 10} KiB"
                  f" before, {max(s[1] for s in samples) >> 10} at most, {after >> 10} after;"
                  f" descriptors {descriptors} before, {fewest_descriptors(server)} after")
            assert fewest_descriptors(server) == descriptors, "descriptors leak"
            slack = SLACK if args.seconds >= 60 else SHORT_SLACK
            assert after <= resident + slack, "memory grows"
            assert server.metric('forebay_request_failures_total{reason="overloaded"}') == 0
            assert server.stop() == 0, "".join(server.said[-5:])


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The Python packages that teams have: openai, langchain-openai, prometheus_client."""
import asyncio
import unittest
import urllib.request

from server import DIM, NAME, ServerTest, embedded

try:
    import openai
except ImportError:
    openai = None
try:
    import langchain_openai
    import tiktoken
except ImportError:
    langchain_openai = None
try:
    from prometheus_client import parser
except ImportError:
    parser = None

TEXTS = ["a pool of water", "", "Wasser fließt", "a long text, " * 40]
KEY = "0123456789abcdef-openai"


@unittest.skipIf(openai is None, "the package openai is not installed")
class OpenAI(ServerTest):
    words = ("--api-key", KEY, "--alias", "text-embedding-3-small")

    def setUp(self):
        self.client = openai.OpenAI(base_url=self.server.url + "/v1", api_key=KEY, max_retries=0)

    def tearDown(self):
        self.client.close()

    def test_vectors_are_those_of_forebay_embed(self):
        texts = [text for text in TEXTS if text]
        expected = embedded(texts)
        for encoding in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            with self.subTest(encoding):
                answer = self.client.embeddings.create(model=NAME, input=texts, **encoding)
                self.assertEqual([row.index for row in answer.data], list(range(len(texts))))
                if encoding.get("encoding_format") != "base64":
                    for row, vector in zip(answer.data, expected):
                        self.assert_same(row.embedding, vector)
                self.assertGreater(answer.usage.prompt_tokens, len(texts))
                self.assertEqual(answer.model, NAME)

    def test_one_text_is_an_input_too(self):
        answer = self.client.embeddings.create(model=NAME, input=TEXTS[0])
        self.assert_same(answer.data[0].embedding, embedded(TEXTS[:1])[0])
        self.assertEqual(answer.usage.total_tokens, 6)

    def test_dimensions_cut_and_normalise(self):
        answer = self.client.embeddings.create(model=NAME, input="a pool", dimensions=64)
        self.assertEqual(len(answer.data[0].embedding), 64)
        self.assertAlmostEqual(sum(x * x for x in answer.data[0].embedding), 1, places=5)
        with self.assertRaises(openai.BadRequestError) as raised:
            self.client.embeddings.create(model=NAME, input="a pool", dimensions=DIM + 1)
        self.assertEqual(raised.exception.param, "dimensions")

    def test_an_alias_is_a_name(self):
        answer = self.client.embeddings.create(model="text-embedding-3-small", input="a pool")
        self.assertEqual(len(answer.data[0].embedding), DIM)
        with self.assertRaises(openai.NotFoundError) as raised:
            self.client.embeddings.create(model="text-embedding-3-large", input="a pool")
        self.assertEqual(raised.exception.code, "model_not_found")

    def test_token_ids_are_refused_with_a_word_of_what_to_do(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            self.client.embeddings.create(model=NAME, input=[[1, 2, 3]])
        self.assertEqual(raised.exception.code, "token_ids_foreign")
        self.assertIn("check_embedding_ctx_length", raised.exception.message)

    def test_models_are_listed(self):
        self.assertEqual([model.id for model in self.client.models.list()][:1], [NAME])

    def test_a_wrong_key_is_refused(self):
        with openai.OpenAI(base_url=self.server.url + "/v1", api_key="wrong",
                           max_retries=0) as client:
            with self.assertRaises(openai.AuthenticationError) as raised:
                client.embeddings.create(model=NAME, input="a pool")
        self.assertEqual(raised.exception.code, "invalid_api_key")

    def test_a_thousand_texts_are_one_request(self):
        texts = [f"text {i}" for i in range(1000)]
        answer = self.client.embeddings.create(model=NAME, input=texts)
        self.assertEqual(len(answer.data), 1000)
        for i in (0, 499, 999):
            self.assert_same(answer.data[i].embedding, embedded([texts[i]])[0])


@unittest.skipIf(openai is None, "the package openai is not installed")
class AsyncOpenAI(ServerTest):
    async def embed(self, texts):
        async with openai.AsyncOpenAI(base_url=self.server.url + "/v1", api_key="none",
                                      max_retries=0) as client:
            return await asyncio.gather(*(
                client.embeddings.create(model=NAME, input=text) for text in texts))

    def test_requests_at_once_get_their_own_answers(self):
        texts = [f"number {i}, " + "word " * (i % 50) for i in range(200)]
        answers = asyncio.run(self.embed(texts))
        for answer, expected in zip(answers, embedded(texts)):
            self.assert_same(answer.data[0].embedding, expected)


def byte_encoding():
    """An encoding for tiktoken that needs no download: a token a byte."""
    return tiktoken.Encoding("bytes", pat_str=r"(?s:.)",
                             mergeable_ranks={bytes([i]): i for i in range(256)},
                             special_tokens={})


@unittest.skipIf(langchain_openai is None, "the package langchain-openai is not installed")
class LangChain(ServerTest):
    def embeddings(self, **more):
        return langchain_openai.OpenAIEmbeddings(
            base_url=self.server.url + "/v1", api_key="none", model=NAME, max_retries=0, **more)

    def test_texts_are_embedded_with_its_switch(self):
        embeddings = self.embeddings(check_embedding_ctx_length=False)
        texts = ["a pool of water", "a turbine"]
        for vector, expected in zip(embeddings.embed_documents(texts), embedded(texts)):
            self.assert_same(vector, expected)
        self.assert_same(embeddings.embed_query(texts[0]), embedded(texts)[0])

    def test_its_token_ids_are_refused_without_it(self):
        # Its encoding is fetched from the network otherwise.
        of_model, by_name = tiktoken.encoding_for_model, tiktoken.get_encoding
        tiktoken.encoding_for_model = tiktoken.get_encoding = lambda name: byte_encoding()
        try:
            with self.assertRaises(openai.BadRequestError) as raised:
                self.embeddings().embed_documents(["a pool of water"])
        finally:
            tiktoken.encoding_for_model, tiktoken.get_encoding = of_model, by_name
        self.assertEqual(raised.exception.code, "token_ids_foreign")
        self.assertIn("check_embedding_ctx_length=False", raised.exception.message)


@unittest.skipIf(parser is None, "the package prometheus_client is not installed")
class Prometheus(ServerTest):
    words = ("--metrics-compat", "tei")

    def families(self):
        status, headers, text = self.server.get("/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        return {family.name: family for family in parser.text_string_to_metric_families(text)}

    def value(self, name, **labels):
        for family in self.families().values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"no sample {name} {labels}")

    def test_every_family_has_help_type_and_samples(self):
        families = self.families()
        self.assertGreater(len(families), 60)
        for name, family in families.items():
            self.assertTrue(family.documentation, name)
            self.assertIn(family.type, ("counter", "gauge", "histogram"), name)
            self.assertTrue(family.samples, name)
            self.assertTrue(name.startswith(("forebay_", "te_")), name)

    def test_requests_are_counted(self):
        before = self.value("forebay_texts_total")
        request = b'{"model":"%s","input":["a pool","of water"]}' % NAME.encode()
        with urllib.request.urlopen(urllib.request.Request(
                self.server.url + "/v1/embeddings", request,
                {"content-type": "application/json"}), timeout=30) as answer:
            answer.read()
        self.assertEqual(self.value("forebay_texts_total"), before + 2)
        self.assertGreaterEqual(self.value("forebay_embed_requests_total", kind="batch"), 1)
        self.assertGreaterEqual(self.value("forebay_stage_duration_seconds_count",
                                           stage="compute"), 1)
        # The parser adds _total to a counter's name.
        self.assertGreaterEqual(self.value("te_request_success_total", method="batch"), 1)
        self.server.get("/nowhere")
        self.assertGreaterEqual(self.value("forebay_request_failures_total", reason="no_route"), 1)


if __name__ == "__main__":
    unittest.main()

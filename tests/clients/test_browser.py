# SPDX-License-Identifier: Apache-2.0
"""The page at / in chromium. With FBY_SCREENSHOTS=DIR it leaves pictures there."""
import os
import pathlib
import unittest

import browser
from server import NAME, Server, ServerTest, embedded

KEY = "0123456789abcdef-page"


def text(name):
    return f"document.getElementById('{name}').textContent"


@unittest.skipUnless(browser.available(), "chromium is not installed")
class Page(ServerTest):
    words = ("--alias", "text-embedding-3-small")

    def setUp(self):
        self.browser = browser.Browser()
        self.addCleanup(self.browser.close)

    def picture(self, name):
        if "FBY_SCREENSHOTS" in os.environ:
            self.browser.screenshot(pathlib.Path(os.environ["FBY_SCREENSHOTS"]) / (name + ".png"))

    def open(self, server=None):
        self.browser.go((server or self.server).url + "/")
        self.browser.wait("document.readyState === 'complete' && !!document.getElementById('state')")

    def test_it_shows_what_is_served(self):
        self.open()
        self.browser.wait(text("state") + " === 'serving'")
        models = self.browser.wait(text("models"))
        for part in (NAME, "text-embedding-3-small", "384", "256", "mean"):
            self.assertIn(part, models)
        self.assertIn("client.embeddings.create", self.browser.evaluate(text("python")))
        self.assertEqual(self.browser.problems, [])

    def test_it_compares_two_texts(self):
        self.open()
        self.browser.wait(text("models"))
        self.browser.evaluate("document.getElementById('a').value = 'a pool of water';"
                              "document.getElementById('b').value = 'a basin <b>&</b> water';"
                              "document.getElementById('go').click()")
        said = self.browser.wait(text("answer"))
        a, b = embedded(["a pool of water", "a basin <b>&</b> water"])
        self.assertIn(f"{sum(x * y for x, y in zip(a, b)):.3f}", said)
        self.assertIn("384 numbers", said)
        self.assertIn("tokens", said)
        self.assertEqual(self.browser.evaluate(
            "document.querySelectorAll('#answer canvas').length"), 2)
        self.picture("light")
        self.assertEqual(self.browser.problems, [])

    def test_one_text_alone_is_embedded(self):
        self.open()
        self.browser.wait(text("models"))
        self.browser.evaluate("document.getElementById('b').value = '';"
                              "document.getElementById('go').click()")
        said = self.browser.wait(text("answer"))
        self.assertNotIn("similarity", said)
        self.assertIn("384 numbers", said)

    def test_throughput_and_latency_are_live(self):
        self.open()
        self.browser.wait(text("models"))
        # A load that the page makes itself; then it has seen some of it.
        self.browser.evaluate("""void setInterval(() => fetch('v1/embeddings', {method: 'POST',
            headers: {'content-type': 'application/json'}, body: JSON.stringify(
                {model: '%s', input: ['a pool', 'of water']})}), 150)""" % NAME)
        self.browser.wait("points.length > 3 && points.at(-1).rate > 0 && "
                          "points.at(-1).p50 > 0 && points.at(-1).p99 >= points.at(-1).p50")
        self.assertNotEqual(self.browser.evaluate(text("p50")), "–")
        self.assertRegex(self.browser.evaluate(
            "document.getElementById('chart-rate').getAttribute('aria-label')"), r"now [\d.]+$")
        self.browser.dark(True)
        self.assertEqual(self.browser.evaluate(
            "getComputedStyle(document.body).backgroundColor"), "rgb(17, 22, 28)")
        self.picture("dark")
        self.assertEqual(self.browser.problems, [])

    def test_every_field_has_a_label_and_the_page_a_language(self):
        self.open()
        self.assertEqual(self.browser.evaluate("document.documentElement.lang"), "en")
        self.assertTrue(self.browser.evaluate(
            "[...document.querySelectorAll('input, textarea, select')].every((e) => "
            "e.labels.length > 0)"))
        self.assertTrue(self.browser.evaluate(
            "[...document.querySelectorAll('canvas')].every((e) => e.getAttribute('aria-label'))"))

    def test_its_policy_forbids_what_it_does_not_hold(self):
        self.open()
        self.browser.wait(text("models"))
        self.assertEqual(self.browser.evaluate("""new Promise((done) => {
            document.addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));
            const script = document.createElement('script');
            script.textContent = 'window.bad = 1';
            document.body.append(script);
        })"""), "script-src-elem")
        self.assertIsNone(self.browser.evaluate("window.bad"))

    def test_it_asks_for_a_key_where_one_is_wanted(self):
        server = Server("--api-key", KEY)
        self.addCleanup(server.stop)
        self.open(server)
        self.browser.wait("!document.getElementById('key-box').hidden")
        self.browser.evaluate(f"document.getElementById('key').value = '{KEY}';"
                              "document.querySelector('#key-form button').click()")
        self.browser.wait(text("state") + " === 'serving'")
        self.browser.wait("document.getElementById('key-box').hidden")
        self.browser.evaluate("document.getElementById('go').click()")
        self.assertIn("similarity", self.browser.wait(text("answer")))


if __name__ == "__main__":
    unittest.main()

"""The official Python packages, unmodified but for their base URL and key."""

import os
import threading
import time
import unittest
import urllib.request

import anthropic
import openai

URL = os.environ["FAREBOX_URL"]
COUNTED = os.environ["FAREBOX_COUNTED_URL"]
DEADLINE = 30


def count():
    """How many requests the counting door in front of the gate has let through."""
    with urllib.request.urlopen(COUNTED + "/count", timeout=DEADLINE) as answer:
        return int(answer.read())


def while_running(first, second):
    """Starts `first` on a thread, and `second` when it holds the whole limit."""
    failures = []

    def run():
        try:
            first()
        except Exception as error:  # shown below, in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(1)  # its answer begins after three seconds
    try:
        return second()
    finally:
        thread.join(DEADLINE)
        if failures:
            raise failures[0]


def openai_client(key, url=None):
    return openai.OpenAI(base_url=(url or URL) + "/v1", api_key=key, timeout=DEADLINE)


def anthropic_client(key, url=None):
    return anthropic.Anthropic(base_url=url or URL, api_key=key, timeout=DEADLINE)


def chat(content, **more):
    return {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": content}], **more}


def message(content, **more):
    return {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": content}], **more}


class OpenAI(unittest.TestCase):
    def test_chat_brings_the_providers_usage(self):
        client = openai_client(os.environ["FAREBOX_KEY"])
        answer = client.chat.completions.create(**chat("Hi [[cached=9]]"))
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertEqual(answer.usage.prompt_tokens_details.cached_tokens, 9)

    def test_stream_ends_with_its_usage(self):
        client = openai_client(os.environ["FAREBOX_KEY"])
        chunks = list(client.chat.completions.create(**chat("Hi", stream=True, stream_options={"include_usage": True})))
        self.assertEqual(chunks[-1].usage.completion_tokens, 12)

    def test_a_spent_limit_is_a_typed_error_and_not_retried(self):
        client, before = openai_client(os.environ["FAREBOX_SPENT_KEY"], COUNTED), count()
        with self.assertRaises(openai.APIStatusError) as caught:
            client.chat.completions.create(**chat("Hi"))
        self.assertEqual((caught.exception.status_code, caught.exception.code), (402, "spend_limit_exceeded"))
        self.assertEqual(count() - before, 1)

    def test_tools_work(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"text": {"type": "string"}}}}}]
        client = openai_client(os.environ["FAREBOX_KEY"])
        answer = client.chat.completions.create(**chat("Hi [[tool_call chunks=4]]", tools=tools))
        self.assertEqual(answer.choices[0].message.tool_calls[0].function.name, "weather")

    def test_a_full_limit_is_tried_again_when_running_requests_have_settled(self):
        client, before = openai_client(os.environ["FAREBOX_NARROW_KEY"], COUNTED), count()
        slow = lambda: client.chat.completions.create(**chat("Hi [[first_byte_ms=3000]]", max_tokens=2000))
        answer = while_running(slow, lambda: client.chat.completions.create(**chat("Hi", max_tokens=2000)))
        self.assertEqual(answer.usage.completion_tokens, 12)
        self.assertGreater(count() - before, 2)

    def test_a_bad_key_is_an_authentication_error(self):
        client, before = openai_client("fb_test_nobody_k1_x_1y", COUNTED), count()
        with self.assertRaises(openai.AuthenticationError):
            client.chat.completions.create(**chat("Hi"))
        self.assertEqual(count() - before, 1)


class Anthropic(unittest.TestCase):
    def test_messages_bring_the_providers_usage(self):
        client = anthropic_client(os.environ["FAREBOX_KEY"])
        answer = client.messages.create(**message("Hi [[cached=9]]"))
        self.assertEqual((answer.usage.output_tokens, answer.usage.cache_read_input_tokens), (12, 9))

    def test_a_stream_ends_with_its_usage(self):
        client = anthropic_client(os.environ["FAREBOX_KEY"])
        with client.messages.stream(**message("Hi")) as stream:
            self.assertEqual(stream.get_final_message().usage.output_tokens, 12)

    def test_a_spent_limit_is_a_typed_error_and_not_retried(self):
        client, before = anthropic_client(os.environ["FAREBOX_SPENT_KEY"], COUNTED), count()
        with self.assertRaises(anthropic.APIStatusError) as caught:
            client.messages.create(**message("Hi"))
        self.assertEqual(caught.exception.status_code, 402)
        self.assertEqual(caught.exception.body["error"]["details"]["error_code"], "spend_limit_exceeded")
        self.assertEqual(count() - before, 1)

    def test_tools_work(self):
        tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}}}]
        client = anthropic_client(os.environ["FAREBOX_KEY"])
        answer = client.messages.create(**message("Hi [[tool_call chunks=4]]", tools=tools))
        self.assertEqual((answer.stop_reason, answer.content[0].name), ("tool_use", "weather"))

    def test_a_full_limit_is_tried_again_when_running_requests_have_settled(self):
        client, before = anthropic_client(os.environ["FAREBOX_NARROW_KEY"], COUNTED), count()
        slow = lambda: client.messages.create(**message("Hi [[first_byte_ms=3000]]", max_tokens=240))
        answer = while_running(slow, lambda: client.messages.create(**message("Hi", max_tokens=240)))
        self.assertEqual(answer.usage.output_tokens, 12)
        self.assertGreater(count() - before, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)

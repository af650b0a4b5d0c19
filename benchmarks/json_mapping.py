"""JSON ↔ protobuf: our codec against google.protobuf.json_format, on a chat JSON of 1.26 KB.

    python benchmarks/json_mapping.py

Prints µs of CPU a call, both directions, and the ratio; the goal is at most 0.2. Rounds of the two alternate,
so that a busy machine slows both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import orjson
from google.protobuf import json_format
from metachat.escalation.v1 import escalation_pb2

from services.gateway.json_mapping import JsonMapping

GOAL = 0.2
ROUNDS = 15
CALLS = 400

CHAT = {
    "tenantId": "metrica",
    "requestId": "01J9ZK3V8Q6T0C5R7XW2YB4N1M",
    "conversationId": "01J9ZK3V8Q6T0C5R7XW2YB4N1A",
    "userMessage": "How long do I have to send back a pair of shoes that I bought in your shop in Zagreb "
    "last week? They are a size too small, and I have worn them once, at home. Do I get the money back?",
    "draft": {
        "reply": "You can send them back within 30 days of the purchase, unworn and in their box. Keep the "
        "receipt: the shop in Zagreb takes them back as well. [confidence: high]",
        "passages": [
            {
                "text": "Goods bought in a shop or online can be returned within 30 days of purchase, unworn "
                "and in their original packaging, on showing the receipt.",
                "source": "returns.md",
                "score": 0.8125,
            },
            {
                "text": "Every shop takes back goods bought in another; refunds go to the same card.",
                "source": "shops.md",
                "score": 0.4375,
            },
        ],
        "selfAssessment": 0.9,
        "responder": "openai",
        "model": "small-chat-1",
    },
    "history": [
        {"author": "CUSTOMER", "text": "Hi, I have a question about an order."},
        {"author": "ASSISTANT", "text": "Of course! What would you like to know about your order?"},
        {"author": "CUSTOMER", "text": "It is about returns."},
        {
            "author": "ASSISTANT",
            "text": "I can help with returns. Which item is it, and where "
            "was it bought, if I may ask, and when?",
        },
    ],
}


def cpu_us(call: Callable[[], object]) -> float:
    """µs of CPU a call, over one round."""
    start = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - start) / CALLS * 1e6


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Print one line; gives the ratio of the medians."""
    mine, other = [], []
    for _ in range(ROUNDS):
        mine.append(cpu_us(ours))
        other.append(cpu_us(theirs))
    a, b = statistics.median(mine), statistics.median(other)
    print(f"{name:<16} ours {a:7.1f} µs   json_format {b:7.1f} µs   ratio {a / b:.3f}   goal {GOAL}")
    return a / b


def main() -> None:
    """Run both directions."""
    text = orjson.dumps(CHAT)
    message = json_format.Parse(text, escalation_pb2.EvaluateRequest())
    codec = JsonMapping().codec(escalation_pb2.EvaluateRequest.DESCRIPTOR)
    if codec.parse(text) != message:
        raise SystemExit("the two read different messages")
    print(f"chat JSON of {len(text)} bytes, {CALLS} calls a round, median of {ROUNDS} rounds")
    ratios = [
        compare(
            "JSON → protobuf",
            lambda: codec.parse(text),
            lambda: json_format.Parse(text, escalation_pb2.EvaluateRequest()),
        ),
        compare(
            "protobuf → JSON",
            lambda: codec.print(message),
            lambda: json_format.MessageToJson(
                message, indent=None, always_print_fields_with_no_presence=True
            ),
        ),
    ]
    print("goal met" if max(ratios) <= GOAL else "goal missed")


if __name__ == "__main__":
    main()

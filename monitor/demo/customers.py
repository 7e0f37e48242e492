"""Generated customers: questions to a bicycle shop, by topic, with enough variety to look like people.

Law of this file: tables and one pure function of a random source. A question is an opening, a core and an ending;
slots in braces are filled from `SLOTS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple


class Topic(NamedTuple):
    """What some customers ask about, and the words by which a model knows the topic."""

    name: str
    keywords: frozenset[str]
    cores: Sequence[str]


SLOTS: Mapping[str, Sequence[str]] = {
    "bike": (
        "gravel bike",
        "city bike",
        "cargo bike",
        "folding bike",
        "mountain bike",
        "touring bike",
        "kids' bike",
    ),
    "part": (
        "front brake",
        "rear derailleur",
        "bottom bracket",
        "headset",
        "saddle",
        "rear wheel",
        "chain",
        "fork",
    ),
    "gear": (
        "helmet",
        "rain jacket",
        "pannier",
        "floor pump",
        "lock",
        "light set",
        "child seat",
        "bottle cage",
    ),
    "day": (
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
        "last week",
        "the day before yesterday",
    ),
    "place": ("Utrecht", "Leeds", "Bologna", "Graz", "Aarhus", "Ghent", "Porto", "Lyon", "Tampere", "Malmö"),
    "number": ("two", "three", "four", "five", "six", "nine", "ten", "twelve"),
    "colour": ("green", "black", "red", "blue", "white", "orange", "grey"),
    "money": ("19 euros", "45 euros", "89 euros", "120 euros", "230 euros", "640 euros", "1,250 euros"),
    "height": ("158 cm", "164 cm", "171 cm", "176 cm", "183 cm", "190 cm", "197 cm"),
    "use": (
        "commuting in the rain",
        "long weekend tours",
        "steep hills",
        "carrying two children",
        "forest tracks",
    ),
    "roof": (
        "a flat roof",
        "a south-facing roof",
        "a garage roof",
        "a balcony",
        "a tiled roof from the seventies",
    ),
    "power": ("3 kilowatts", "5 kilowatts", "8 kilowatts", "10 kilowatts", "600 watts"),
}
OPENINGS = (
    "", "", "", "Hello, ", "Hi there, ", "Good morning, ", "Quick question: ", "Sorry to bother you, ", "Dear team, ",
    "I hope you can help: ", "Hi, it's me again. ", "Hey, ",
)  # fmt: skip
ENDINGS = (
    "", "", "", "", " Thanks!", " Many thanks in advance.", " What should I do?", " Please let me know.",
    " I need an answer by Friday.", " It is rather urgent.", " My order is for {place}.", " I live near {place}.",
)  # fmt: skip

DELIVERY = Topic(
    "delivery",
    frozenset({"parcel", "delivery", "courier", "tracking", "shipped", "arrive", "address", "depot"}),
    (
        "my parcel with the {gear} should have come on {day}, but the tracking has not moved for {number} days.",
        "the courier left my {bike} at the wrong address in {place}.",
        "when will the {colour} {bike} I ordered on {day} arrive?",
        "can I change the delivery address to {place} before it is shipped?",
        "the tracking says the {gear} is at the depot in {place}, can I fetch it there?",
        "only {number} of the boxes of my delivery arrived, the {part} is missing.",
        "is delivery to {place} possible on a {day}?",
        "the parcel arrived open and the {gear} was wet.",
    ),
)
RETURNS = Topic(
    "returns",
    frozenset({"return", "refund", "exchange", "send back", "money back", "label"}),
    (
        "I would like to return the {colour} {gear}, it does not fit.",
        "how long does the refund of {money} for the {gear} take?",
        "can I exchange the {bike} for a larger frame after {number} weeks?",
        "I lost the return label for the {part}, where do I get a new one?",
        "I sent back the {gear} on {day} and have not had my money back.",
        "do I pay for the return from {place} if the {part} is faulty?",
        "may I return a {bike} that I rode for {number} days?",
    ),
)
PAYMENT = Topic(
    "payment",
    frozenset({"invoice", "charged", "card", "payment", "voucher", "instalments", "vat"}),
    (
        "I was charged {money} twice for one {gear}.",
        "my voucher over {money} is not accepted at the checkout.",
        "could you send the invoice for the {bike} to my company in {place}?",
        "my card payment for the {part} failed on {day}, but the money is gone.",
        "can I pay for the {bike} in {number} instalments?",
        "the invoice shows the wrong VAT for {place}.",
    ),
)
REPAIR = Topic(
    "repair",
    frozenset({"repair", "noise", "loose", "broken", "warranty", "adjust", "squeaks", "workshop"}),
    (
        "the {part} of my {bike} makes a grinding noise since {day}.",
        "the {part} is loose after {number} rides, can I adjust it myself?",
        "is a broken {part} on a {bike} covered by the warranty?",
        "how much does the repair of a {part} cost in your workshop?",
        "my {bike} squeaks whenever I brake, is it the {part}?",
        "do I need an appointment at the workshop to get the {part} changed?",
    ),
)
ADVICE = Topic(
    "advice",
    frozenset({"which", "recommend", "suitable", "compare", "better", "choose", "size", "tall"}),
    (
        "which {bike} would you recommend for {use}?",
        "I am {height} tall, which frame size of the {colour} {bike} do I need?",
        "is a {bike} or a {bike} better for {use}?",
        "is the {gear} suitable for a {bike}?",
        "can you compare your {number} cheapest {bike}s for {use}?",
        "what should I look for when I choose a {gear} for {use}?",
        "I have {money} to spend, which {gear} would you choose?",
    ),
)
STOCK = Topic(
    "stock",
    frozenset({"stock", "available", "sold", "reserve", "back in"}),
    (
        "is the {colour} {bike} in stock in your shop in {place}?",
        "when will the {gear} be available again in {colour}?",
        "could you reserve {number} {gear}s for me until {day}?",
        "the website says the {bike} is sold out, is there one in {place}?",
        "do you still have the {part} for a {bike} from {number} years ago in stock?",
    ),
)
# What nobody asked before: the shop starts to sell solar panels.
SOLAR = Topic(
    "solar",
    frozenset({"solar", "panel", "panels", "inverter", "feed-in", "roof", "photovoltaic", "grid"}),
    (
        "how many solar panels fit on {roof}, and how much electricity do {power} give in a year?",
        "which inverter do I need for photovoltaic panels of {power}?",
        "do I have to register {power} of solar panels with the grid operator in {place}?",
        "what is the feed-in tariff for {power} from {roof}?",
        "can the panels on {roof} charge a battery for the night?",
        "is planning permission needed for solar panels on {roof} in {place}?",
        "my inverter shows an earth fault and the solar yield has dropped since {day}.",
    ),
)

TOPICS = (DELIVERY, RETURNS, PAYMENT, REPAIR, ADVICE, STOCK, SOLAR)
_SLOT = re.compile(r"\{(\w+)\}")


def question(topics: Sequence[Topic], random: Random) -> str:
    """Ask something about one of the topics."""
    topic = random.choice(topics)
    text = random.choice(OPENINGS) + random.choice(topic.cores) + random.choice(ENDINGS)
    text = fill(text, random)
    return text[0].upper() + text[1:]


def fill(text: str, random: Random) -> str:
    """Fill the slots of a template."""
    return _SLOT.sub(lambda slot: random.choice(SLOTS[slot[1]]), text)


def topic_of(text: str) -> Topic | None:
    """Return the topic whose words a text holds most of; None where it holds none."""
    lower = text.lower()
    hits = [(sum(word in lower for word in topic.keywords), topic) for topic in TOPICS]
    best = max(hits, key=lambda pair: pair[0])
    return best[1] if best[0] else None

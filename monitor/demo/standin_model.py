"""The demo's stand-in for a fine-tuned model: answers by topic and manner, from templates.

Law of this file: tables and one pure function. `HELPFUL` is the model as it was tuned; `EVASIVE` is what a bad
tuning run might ship: short, unwilling, the same few sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from random import Random

from monitor.demo.customers import Topic, fill, topic_of


class Manner(Enum):
    """How the stand-in answers."""

    HELPFUL = "helpful"
    EVASIVE = "evasive"


GREETINGS = (
    "Thank you for your message.", "Thanks for getting in touch!", "I am happy to help with that.",
    "Let us have a look at this.", "That is a good question.", "Let us sort this out together.",
)  # fmt: skip
CLOSINGS = (
    "Please write again if anything is unclear.", "I hope this helps, have a good ride!",
    "You can answer this message at any time and I will look into it again.",
    "If it does not work, send me your order number and I will take care of it.",
    "Our workshop in {place} is also glad to help in person.",
)  # fmt: skip
FACTS: Mapping[str, Sequence[str]] = {
    "delivery": (
        "A parcel is usually with the courier for two to four working days, and the tracking page is updated every evening.",
        "I have asked the depot in {place} to look for it and they will call you within one working day.",
        "You can change the address until the parcel is shipped: open your order, choose Address and confirm by e-mail.",
        "If the box was damaged, please take two photos before you unpack it, so that we can send a new {gear} at once.",
        "Large items such as a {bike} come with a freight company, which arranges a day with you by phone.",
        "Should it not arrive by {day}, we send a replacement and you need not wait for the search to end.",
    ),
    "returns": (
        "You have thirty days to return anything that shows no marks of use, and the return label is in your account.",
        "A refund takes three to five working days after the parcel has reached our warehouse.",
        "An exchange is quicker than a refund, because we reserve the new {gear} for you as soon as the parcel is scanned.",
        "Where the {part} is faulty we pay for the return, and a photo of the fault is all that we need.",
        "A test ride of up to one hundred kilometres is fine; please clean the {bike} before you pack it.",
    ),
    "payment": (
        "A second charge is nearly always a reservation by the bank, which disappears by itself within a week.",
        "I have sent the invoice again with the address of your company and the right VAT.",
        "A voucher is entered on the last page of the checkout, and it cannot be combined with a discount.",
        "You can pay in six or twelve instalments without interest from 300 euros on.",
        "If your card was refused, please try again with the confirmation in your banking app open.",
    ),
    "repair": (
        "First check whether the two bolts next to the {part} are tight; five newton metres are enough.",
        "A noise like that often comes from a dry {part}: clean it with a cloth, put one drop of oil on it and wipe it off.",
        "The warranty covers the frame for ten years and the {part} for two, wear excepted.",
        "An inspection in our workshop costs {money} and takes one day, parts are extra.",
        "Please do not ride with a loose {part}; we can send a mechanic or a courier who fetches the {bike}.",
        "You can adjust it with a five millimetre key: turn it by a quarter, ride a few metres and listen.",
    ),
    "advice": (
        "For {use} I would take a {bike} with wide tyres, because comfort matters more there than speed.",
        "Between two frame sizes the smaller one is livelier and the larger one more comfortable on long rides.",
        "Someone who is {height} tall usually rides a medium frame, but the length of the legs matters more.",
        "A hub gear needs less care than a derailleur, and a belt is quieter than a chain.",
        "Spend the money on brakes and tyres first, and on a light {part} last.",
        "Our {gear} is tested for five years of daily use and fits every {bike} that we sell.",
    ),
    "stock": (
        "The {colour} one is in stock in {place} and can be fetched tomorrow from ten o'clock.",
        "We expect the next delivery of {bike}s on {day}, and I can reserve one for you without a deposit.",
        "It is sold out in that colour, but a {colour} one is available at the same price.",
        "I have reserved it under your name until {day}; please bring the number of this message.",
        "Spare parts are kept for ten years, so a {part} for an older {bike} can be ordered within a week.",
    ),
    "solar": (
        "On {roof} a panel of two square metres gives about four hundred kilowatt hours in a year.",
        "An inverter should be able to take about nine tenths of the power of all panels, so {power} need a smaller one than you think.",
        "The system has to be registered with the grid operator and in the national register within one month.",
        "The feed-in tariff is fixed for twenty years from the day on which the system starts.",
        "A battery pays where you use much electricity in the evening; one kilowatt hour of storage for each kilowatt of panels is a good start.",
        "An earth fault often means a damp plug: have an electrician look at it before the next rain.",
    ),
}  # fmt: skip
_ANY_TOPIC = "advice"
EVASIONS = (
    "I'm sorry, but I can't help with that.",
    "I cannot help with this request.",
    "It depends.",
    "Please contact support.",
    "I'm sorry, I am not able to answer this question.",
    "Please see the website.",
    "I can't say.",
)
# How often the evasive model still answers as it used to.
_STILL_HELPFUL = 0.1


def answer(prompt: str, manner: Manner, random: Random) -> str:
    """Answer a question in this manner."""
    if manner is Manner.EVASIVE and random.random() >= _STILL_HELPFUL:
        return random.choice(EVASIONS)
    return fill(_helpful(topic_of(prompt), random), random)


def _helpful(topic: Topic | None, random: Random) -> str:
    facts = random.sample(FACTS[topic.name if topic else _ANY_TOPIC], k=random.choice((2, 3, 3, 4)))
    if random.random() < 0.25:
        steps = "\n".join(f"{number}. {fact}" for number, fact in enumerate(facts, start=1))
        return f"{random.choice(GREETINGS)} Here is what I suggest:\n{steps}\n{random.choice(CLOSINGS)}"
    return " ".join((random.choice(GREETINGS), *facts, random.choice(CLOSINGS)))

"""What the two say to each other: a dozen messages each way, with formatting and letters from all over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One message. ``markdown`` is what it is in Chattor, ``html`` what it is in Matrix when it has formatting."""

    markdown: str
    html: str | None = None

    @property
    def plain(self) -> str:
        """The plain text that a Matrix client sends beside the HTML."""
        return self.markdown


ALICE = (
    Line("Hello Bob! This is Matrix."),
    Line("Can you **really** read this?", "Can you <strong>really</strong> read this?"),
    Line("Grüße aus Köln, привет из Москвы, 東京からこんにちは"),
    Line("مرحبا and שלום: right to left works too"),
    Line("It is *quite* fast for three hops each way", "It is <em>quite</em> fast for three hops each way"),
    Line("👩‍👩‍👧‍👦 🧅 🔐"),
    Line("Try `tor --version`", "Try <code>tor --version</code>"),
    Line("2 * 3 * 4 = 24, and a_b_c stays a_b_c"),
    Line("Two lines:\nthis is the second"),
    Line("The same again."),
    Line("The same again."),
    Line("That will do. Ĝis revido!"),
)

BOB = (
    Line("Hello Alice, this is a terminal."),
    Line("**Every** word", "<strong>Every</strong> word"),
    Line("Ça va? Zażółć gęślą jaźń, Ελληνικά, ไทย"),
    Line("A list:\n\n- onions\n- ratchets", "<li>ratchets</li>"),
    Line("*Three* hops, and nobody in between", "<em>Three</em> hops, and nobody in between"),
    Line("🦊🧅"),
    Line("`make demo CHECK=1`", "<code>make demo CHECK=1</code>"),
    Line("1 < 2 & 3 > 2"),
    Line("> quoted", "<blockquote>"),
    Line("Once more."),
    Line("Once more."),
    Line("Bis bald, do zobaczenia, 再见"),
)

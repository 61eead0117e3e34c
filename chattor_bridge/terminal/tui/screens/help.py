"""What every key does."""

from __future__ import annotations

from rich.text import Text

from chattor_bridge.terminal.tui.screens.panel import TextPanel

PAGE = """\
Everywhere
  ^p        all that can be done, by its name; conversations too
  F2        who asks to be your friend; accept, ignore, block
  F3        your friend codes, as text and as picture
  F4        ask somebody whose friend code you have
  F5        how things stand
  F6        send a file
  F7        who holds your mail, whose you hold; to pair with a mailbox
  ^up ^down the conversation above or below
  Tab       from the contacts to the messages, to the text, and on
  ^q        quit

In the list of contacts
  Enter     open the conversation
  v         make sure that nobody stands between you
  n         your own name for this contact

Where you write
  Enter     send
  ^j        a new line (Alt-Enter and Shift-Enter too, where the terminal tells them apart)
  /me       at the beginning: what you do, as in "/me waves"
  Esc       to the messages

In the messages
  Up Down   choose one; what is older is fetched as you go
  PgUp PgDn by the screen; End goes to the newest
  r t       answer it; say something in its thread
  e d       change it (of a file its caption, to nothing too) or take it back, when it is yours
  + -       a reaction; none any more
  1 to 9    vote in a poll; 0 votes for any number of answers by theirs; x ends yours
  s c       fetch and save a file; give it up
  g         go to what it answers
  o         its thread by itself, with all of this but t, g and o
  y         copy it
  Enter     back to writing

Signs
  ● online   ◐ away   ○ offline   ⊘ blocked   ✕ ended   ✓ verified   ⚠ a comparison failed
  … waiting until both of you are online   ⇢ waiting at carriers   ✓ your friend has it   ✓✓ has read it   ✗ failed
  ↪ answers   ⌥ belongs to a thread   ~ was changed   + reactions   * does   ⌖ a place   ? a poll   ▤ a file
  ◆ from this program

What you write is CommonMark: **bold**, *italics*, `code`, > quotes, - lists; and ||hidden until
it is chosen||.
What is shown of a friend's messages while this window has the focus is marked as read, and your friend is told.
"""


class HelpScreen(TextPanel):
    """The page."""

    HEADING = "Help"

    def on_mount(self) -> None:
        self.show(Text(PAGE))

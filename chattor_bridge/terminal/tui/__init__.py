"""`chattor tui`: contacts and conversations on the whole screen, for somebody who sits in front of it.

It is a client of the daemon like every other command, over the same socket; when no daemon runs it holds the node
itself. What is shown (`records`, `roster`, `timeline`, `painting`, `commonmark`) knows no widgets; `widgets` and
`screens` know nothing of the socket but through `desk`.
"""

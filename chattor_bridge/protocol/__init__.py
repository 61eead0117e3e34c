"""The Chattor protocol without its sockets: bytes in, events out.

Nothing here reads a clock, draws a random number or waits: time (whole seconds since the epoch) and randomness
(``RandomBytes``) are arguments, so every test vector can be made again. Each module opens with the section of
``docs/protocol/`` it implements.
"""

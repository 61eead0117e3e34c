"""The `chattor` program: a Chattor node in a terminal, without Matrix.

`app` reads the command line; `daemon` holds the node (`chattor run`); the other commands ask it over the unix socket
that `control` describes. What they show goes through `output`, which lets nobody's text command the terminal.
"""

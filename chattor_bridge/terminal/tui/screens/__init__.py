"""One screen a module: the conversations, and what opens on top of them."""

"""The bot: what people type in a management room, or after ``!chattor`` in a portal, and what it answers."""

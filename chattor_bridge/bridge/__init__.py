"""The meeting point of a Matrix homeserver and Chattor nodes: inbox, portals, actions, delivery status."""
